"""Who listens to a job: JSON lines, a display on a terminal, or plain lines."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from async_backup.cli.output import complain, say
from async_backup.ui.json_lines import JsonPrinter
from async_backup.ui.lines import NORMAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from async_backup.ui.display import Display

    Printer = Callable[[str], None]

_Event = TypeVar("_Event")


def listening(
    display: Callable[[Console], Display[_Event]],
    printer: Callable[[Printer, Printer], Callable[[_Event], None]],
    *,
    as_json: bool,
    verbosity: int,
) -> tuple[AbstractContextManager[object], Callable[[_Event], None]]:
    """The listener, and what has to be open while it listens.

    `printer` makes one of plain lines from two functions that print: news, and trouble.
    """
    if as_json:
        return nullcontext(), JsonPrinter(say)
    console = Console(highlight=False)
    if verbosity >= NORMAL and console.is_terminal:
        shown = display(console)
        shown.lines = printer(shown.print, shown.trouble)
        return shown, shown
    return nullcontext(), printer(say, complain)
