"""Which archives stay."""

from __future__ import annotations

from typing import Annotated

import typer

_KEEPING = "What stays"

KeepLast = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the N newest archives; `unlimited`, here and below, keeps all.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepHourly = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N hours that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepDaily = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N days that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepWeekly = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N weeks (from Monday) that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepMonthly = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N months that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepYearly = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N years that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepWithin = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Keep what is not older than the newest archive by more than this, such as 30d or 1y6m.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
