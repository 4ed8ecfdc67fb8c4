"""Who listens to a job: JSON lines, a display on a terminal, plain lines, or the log."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar, cast

from rich.console import Console

from async_backup.cli.logs import logging_to_standard_error
from async_backup.cli.output import complain, say
from async_backup.ui.hooks import with_hooks
from async_backup.ui.json_lines import JsonPrinter
from async_backup.ui.lines import NORMAL
from async_backup.ui.logs import LOGGER, LogPrinter

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
    log: bool = False,
) -> tuple[AbstractContextManager[object], Callable[[_Event], None]]:
    """The listener, and what has to be open while it listens.

    `printer` makes one of plain lines from two functions that print: news, and trouble. With `log` these are records,
    and standard output stays empty but for JSON lines. The listener takes the events of hooks as well.
    """
    if log:
        return logging_to_standard_error(verbosity), _logger(printer, as_json=as_json)
    if as_json:
        return nullcontext(), JsonPrinter(say)
    console = Console(highlight=False)
    if verbosity >= NORMAL and console.is_terminal:
        shown = display(console)
        shown.lines = with_hooks(printer(shown.print, shown.trouble), shown.trouble, verbosity)
        return shown, shown
    return nullcontext(), with_hooks(printer(say, complain), complain, verbosity)


def _logger(
    printer: Callable[[Printer, Printer], Callable[[_Event], None]], *, as_json: bool
) -> Callable[[object], None]:
    """Logs events of a run one a line; those of other jobs as their plain lines."""
    lines = printer(lambda line: LOGGER.info("%s", line), lambda line: LOGGER.warning("%s", line))
    log = LogPrinter(cast("Callable[[object], None]", lines))
    json = JsonPrinter(say) if as_json else None

    def listen(event: object) -> None:
        log(event)
        if json:
            json(event)

    return listen
