"""What a benchmark measures, and for how long. The flags of `run` take lists of values here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from async_backup.benching.model import LEAST_SECONDS, MOST_SECONDS, Sample
from async_backup.config import parse_size
from async_backup.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

_MEASURING = "Measuring"
_FLAGS = "Flags to measure with (with --sweep: lists such as 4,8,16)"
_MOST_DIGITS = 9

Source = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Back up this directory, as far as time allows; it is only read.",
        rich_help_panel=_MEASURING,
        show_default="a generated sample",
    ),
]
SampleKind = Annotated[
    Sample | None,
    typer.Option(
        "--sample",
        help="What to generate: many small files, a few large ones, or large ones that do not compress.",
        rich_help_panel=_MEASURING,
        show_default="few-large",
    ),
]
Seconds = Annotated[
    float,
    typer.Option(
        metavar="N",
        help=f"How long it may take, from {LEAST_SECONDS} to {MOST_SECONDS}; longer is more exact.",
        rich_help_panel=_MEASURING,
    ),
]
Sweep = Annotated[
    bool,
    typer.Option(
        "--sweep",
        help="Compare whole backups with one set of flags after another: the values of one flag at a time, the best "
        "stays for the next.",
        rich_help_panel=_MEASURING,
    ),
]
PlotFile = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw the result to FILE.svg or FILE.png; needs the extra 'plot'.",
        rich_help_panel=_MEASURING,
        show_default=False,
    ),
]
Connections = Annotated[
    str | None, typer.Option(metavar="N[,N]...", help="SSH connections.", rich_help_panel=_FLAGS, show_default="4")
]
Channels = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N]...", help="SFTP channels of each connection.", rich_help_panel=_FLAGS, show_default="2"
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(metavar="N[,N]...", help="Entries under way at once.", rich_help_panel=_FLAGS, show_default="8"),
]
Processes = Annotated[
    str | None,
    typer.Option(metavar="N[,N]...", help="Packing processes.", rich_help_panel=_FLAGS, show_default="number of CPUs"),
]
SegmentSize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE[,SIZE]...",
        help="Bytes that are packed and sent as one piece.",
        rich_help_panel=_FLAGS,
        show_default="4MiB",
    ),
]


def numbers(text: str | None, flag: str) -> tuple[int, ...]:
    """From `4,8,16`, without repetitions; none of None. Raises SettingsError."""
    return _values(text, flag, _number)


def sizes(text: str | None, flag: str) -> tuple[int, ...]:
    """From `1MiB,4MiB`; see `numbers`."""
    return _values(text, flag, parse_size)


def _values(text: str | None, flag: str, parse: Callable[[str], int]) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        return tuple(dict.fromkeys(parse(part.strip()) for part in text.split(",")))
    except SettingsError as error:
        raise SettingsError(f"{flag} {text!r}: {error}") from error


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise SettingsError(f"{text!r} is not a number; write 8, or with --sweep a list such as 4,8,16")
    return int(text)
