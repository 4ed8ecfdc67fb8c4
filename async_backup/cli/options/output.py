"""What is printed, and what is only shown."""

from __future__ import annotations

from typing import Annotated

import typer

from async_backup.errors import SettingsError
from async_backup.ui.lines import NORMAL, QUIET, VERBOSE

_OUTPUT = "Output"

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, without connecting.", rich_help_panel=_OUTPUT)
]
PruneDryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show what would stay, and why, and what would go.", rich_help_panel=_OUTPUT),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print every event as a JSON object a line.", rich_help_panel=_OUTPUT)
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print a JSON object a line.", rich_help_panel=_OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print trouble only.", rich_help_panel=_OUTPUT)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more.", rich_help_panel=_OUTPUT)]
Log = Annotated[
    bool,
    typer.Option(
        "--log",
        help="Write to standard error through `logging`, a line an event with time, level and run, instead of bars and "
        "plain lines; made for journald.",
        rich_help_panel=_OUTPUT,
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-R", help="List all that is below each PATH.", rich_help_panel=_OUTPUT)
]


def verbosity(*, quiet: bool, verbose: bool) -> int:
    """How much is printed; raises SettingsError where both were asked for."""
    if quiet and verbose:
        raise SettingsError("--quiet and --verbose contradict each other")
    return QUIET if quiet else VERBOSE if verbose else NORMAL
