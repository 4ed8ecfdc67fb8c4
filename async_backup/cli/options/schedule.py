"""When a profile runs by itself, and what sees to that."""

from __future__ import annotations

from typing import Annotated

import typer

_WHEN = "When"
_WHERE = "Kept by"

Profile = Annotated[str, typer.Option("--profile", metavar="NAME", help="Profile to run.", show_default=False)]
AnyProfile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="This profile alone.", show_default="all of them")
]
Hourly = Annotated[bool, typer.Option("--hourly", help="Every full hour.", rich_help_panel=_WHEN)]
Daily = Annotated[
    str | None,
    typer.Option("--daily", metavar="HH:MM", help="Every day, local time.", rich_help_panel=_WHEN, show_default=False),
]
Weekly = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--weekly",
        metavar="DAY HH:MM",
        help="Every week, such as --weekly sun 03:00.",
        rich_help_panel=_WHEN,
        show_default=False,
    ),
]
OnCalendar = Annotated[
    str | None,
    typer.Option(
        "--on-calendar",
        metavar="EXPR",
        help="Any time that systemd.time(7) can express, such as 'Mon..Fri 22:00'.",
        rich_help_panel=_WHEN,
        show_default=False,
    ),
]
RandomizedDelay = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="Start up to so much later, at random, so that not all machines come at once.",
        rich_help_panel=_WHEN,
        show_default="not at all",
    ),
]
UserOrSystem = Annotated[
    bool | None,
    typer.Option(
        "--user/--system",
        help="A timer of yours, or one of the machine.",
        rich_help_panel=_WHERE,
        show_default="--system for root",
    ),
]
CronOrSystemd = Annotated[
    bool | None,
    typer.Option(
        "--cron/--systemd",
        help="A line of your crontab, or a timer of systemd.",
        rich_help_panel=_WHERE,
        show_default="--systemd where it runs",
    ),
]
Print = Annotated[bool, typer.Option("--print", help="Print what would be written, and write nothing.")]
