"""Running the event loop for a command: signals stop it, errors become exit codes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import termios
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn, TypeVar

import anyio
import typer
from anyio import Event, open_signal_receiver

from async_backup.cli.output import complain, say
from async_backup.errors import BackupError, ExitCode
from async_backup.stopping import do_last_deeds
from async_backup.tasks import task_group
from async_backup.text import one_line
from async_backup.ui.json_lines import error_line
from async_backup.ui.logs import LOGGER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_T = TypeVar("_T")

STOP_WITHIN = 4.5
"""Seconds from the first signal to the end, whatever the server does."""

_QUIET_TRACKER = "ignore:resource_tracker"
"""A warning filter, which Python hands on to multiprocessing's own process."""

_waits_for_person = threading.Event()

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_stopped(work: Callable[[Event], Awaitable[_T]], *, as_json: bool = False) -> _T:
    """Run `work` with an event that the first signal sets; a second one, or too long a wait, ends the program.

    A BackupError is printed and becomes its exit code. None from `work` means that the signal came before anything
    was done, and is said.
    """
    _silence_others()
    try:
        result = anyio.run(_with_signals, work)
        if result is None:
            complain("interrupted before anything was done")
        return result
    except BackupError as error:
        fail(error, as_json=as_json)
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # all is done; only the exit code is still to be told
        restore_terminal()


def _silence_others() -> None:
    """What the standard library says of what we deal with: of lost connections, and of an end at once."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    if _QUIET_TRACKER not in sys.warnoptions:
        sys.warnoptions.append(_QUIET_TRACKER)


async def _with_signals(work: Callable[[Event], Awaitable[_T]]) -> _T:
    stop = Event()
    async with task_group() as tasks:
        tasks.start_soon(_obey_signals, stop)
        result = await work(stop)
        tasks.cancel_scope.cancel()
    return result


@contextmanager
def ended_by_first_signal() -> Iterator[None]:
    """For a block in a thread that waits for a person: nothing could end it, and nothing else is under way."""
    _waits_for_person.set()
    try:
        yield
    finally:
        _waits_for_person.clear()


async def _obey_signals(stop: Event) -> None:
    with open_signal_receiver(*_SIGNALS) as signals:
        async for _ in signals:
            if stop.is_set() or _waits_for_person.is_set():
                end_now()
            stop.set()
            _start_timer()


def _start_timer() -> None:
    """A thread, since nothing that still waits in the loop or in other threads may hold up the end."""
    timer = threading.Timer(STOP_WITHIN, end_now)
    timer.daemon = True
    timer.start()


def remember_terminal() -> Callable[[], None]:
    """Returns what puts the terminal back: a display may hide its cursor, and a question for a passphrase its echo."""
    try:
        descriptor = sys.stdin.fileno()
        settings = termios.tcgetattr(descriptor)
    except (OSError, ValueError, AttributeError, termios.error):
        return lambda: None

    def restore() -> None:
        with suppress(OSError, ValueError, AttributeError, termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, settings)
            if sys.stderr.isatty():
                sys.stderr.write("\x1b[?25h")
                sys.stderr.flush()

    return restore


restore_terminal = remember_terminal()


def end_now() -> NoReturn:
    """End without cleaning up: the packing processes end with us, the next run removes the rest."""
    do_last_deeds()
    restore_terminal()
    os._exit(ExitCode.INTERRUPTED)


def fail(error: BackupError, *, as_json: bool) -> NoReturn:
    """Print an error that ended a command, and exit with its code."""
    if as_json:
        say(error_line(error))
    if LOGGER.handlers:
        LOGGER.error("%s", one_line(error))
    else:
        complain(f"error: {one_line(error)}")
    raise typer.Exit(error.exit_code)
