"""What matters where nobody is watching."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_UNATTENDED = "Unattended"

LockWait = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="Wait so long, such as 10m or 2h, for the end of another run of the same profile (or sources) to the same "
        "destination, before giving up with exit code 4.",
        rich_help_panel=_UNATTENDED,
        show_default="not at all",
    ),
]
Ping = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Tell a monitor such as healthchecks.io how the run went: URL/start, then URL with the summary, or "
        "URL/fail. It never holds up nor fails the backup.",
        rich_help_panel=_UNATTENDED,
    ),
]
Metrics = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.prom",
        help="Write the run's figures at its end, for the textfile collector of Prometheus' node_exporter. One file a "
        "profile. Needs prometheus-client, which the extra `metrics` brings.",
        rich_help_panel=_UNATTENDED,
        show_default=False,
    ),
]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Write a page about the run at its end: trouble first, sizes, rates, every entry.",
        rich_help_panel=_UNATTENDED,
        show_default=False,
    ),
]
