"""Which archives stay."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def _rule(text: str, metavar: str = "N") -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel="What stays", show_default=False)


KeepLast = Annotated[str, _rule("Keep the N newest archives; `unlimited`, here and below, keeps all.")]
KeepHourly = Annotated[str, _rule("Keep the newest of each of the last N hours that have any.")]
KeepDaily = Annotated[str, _rule("Keep the newest of each of the last N days that have any.")]
KeepWeekly = Annotated[str, _rule("Keep the newest of each of the last N weeks (from Monday) that have any.")]
KeepMonthly = Annotated[str, _rule("Keep the newest of each of the last N months that have any.")]
KeepYearly = Annotated[str, _rule("Keep the newest of each of the last N years that have any.")]
KeepWithin = Annotated[
    str | None,
    _rule("Keep what is not older than the newest archive by more than this, such as 30d or 1y6m.", "DURATION"),
]
