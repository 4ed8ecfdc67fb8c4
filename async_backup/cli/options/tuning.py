"""How much is done at once."""

from __future__ import annotations

from typing import Annotated

import typer

from async_backup.config import Limits

_TUNING = "Tuning"
DEFAULTS = Limits()
DEFAULT_SEGMENT_SIZE = f"{DEFAULTS.segment_size >> 20}MiB"

Workers = Annotated[
    int,
    typer.Option(help="Entries packed at once; small ones wait for the server beside them.", rich_help_panel=_TUNING),
]
Processes = Annotated[
    int, typer.Option(help="Packing processes.", rich_help_panel=_TUNING, show_default="number of CPUs")
]
Connections = Annotated[int, typer.Option(help="SSH connections.", rich_help_panel=_TUNING)]
Channels = Annotated[int, typer.Option(help="SFTP channels of each connection.", rich_help_panel=_TUNING)]
Queue = Annotated[int, typer.Option(help="Entries found ahead of the workers.", rich_help_panel=_TUNING)]
SegmentSize = Annotated[
    str,
    typer.Option(metavar="SIZE", help="Bytes of files that are packed and sent as one piece.", rich_help_panel=_TUNING),
]
Retries = Annotated[
    int, typer.Option(help="New attempts after a mismatch or a lost connection.", rich_help_panel=_TUNING)
]
LimitRate = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Bytes a second over all connections, such as 10M.",
        rich_help_panel=_TUNING,
        show_default="no limit",
    ),
]
