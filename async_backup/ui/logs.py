"""Events as records of standard `logging`: one line an event, for the journal and for files."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from async_backup.events import (
    AttemptFailed,
    Connected,
    DestinationLost,
    EntryEnded,
    EntryFound,
    EntrySkipped,
    EntryStarted,
    EntryUploaded,
    FewerConnections,
    FileProblem,
    LeftoverRemoved,
    ReuseRefused,
    RunEnded,
    RunStarted,
    SegmentPacked,
    SegmentSent,
    SourceEmpty,
    Stopping,
)
from async_backup.hooks.model import HookFailed, HookSaid, PingFailed
from async_backup.model import Committed, Failed, Interrupted
from async_backup.text import one_line, shown, size
from async_backup.ui.hooks import hook_line
from async_backup.ui.plain import empty, fewer, refused
from async_backup.ui.summary import summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backup.model import Outcome, Report

LOGGER = logging.getLogger("async_backup")

_DEBUG, _INFO, _WARNING, _ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

_PRIORITIES = ((logging.CRITICAL, 2), (_ERROR, 3), (_WARNING, 4), (_INFO, 6), (_DEBUG, 7))
"""Levels and the priorities of syslog(3)."""


class LogPrinter:
    """A listener that logs the events of a run and its hooks, and leaves all others to `rest`."""

    def __init__(self, rest: Callable[[object], None]) -> None:
        self._rest = rest

    def __call__(self, event: object) -> None:  # noqa: PLR0912 # a table, written as matches
        match event:
            case SegmentPacked() | SegmentSent() | EntryFound():
                pass
            case RunStarted(destinations=destinations):
                _log(_INFO, f"the run begins, to {', '.join(map(shown, destinations))}")
            case Connected():
                self._connected(event)
            case DestinationLost(destination, error):
                _log(_ERROR, f"{shown(destination)} is lost for this run: {one_line(error)}")
            case LeftoverRemoved(path):
                _log(_INFO, f"removed what a dead run left: {shown(path)}")
            case EntrySkipped(path, reason):
                _log(_DEBUG, f"skipped {shown(path)}: {shown(reason)}")
            case SourceEmpty():
                _log(_WARNING, empty(event))
            case EntryStarted(entry, attempt):
                _log(_DEBUG, f"started {shown(entry.path)}, attempt {attempt}")
            case FileProblem(entry, problem, is_loss):
                where = f"{shown(entry.source)}/{shown(problem.path)}"
                _log(_WARNING if is_loss else _INFO, f"{problem.kind.value}: {where}: {shown(problem.reason)}")
            case EntryUploaded(entry, count, digest, destination):
                _log(_DEBUG, f"uploaded {shown(entry.path)}{_to(destination)}, {size(count)}, digest {digest}")
            case AttemptFailed(entry, error, attempt, destination):
                where = f"{shown(entry.path)}{_to(destination)}"
                _log(_WARNING, f"attempt {attempt} at {where} failed, trying again: {one_line(error)}")
            case ReuseRefused():
                _log(_INFO, refused(event))
            case FewerConnections():
                _log(_INFO, fewer(event))
            case EntryEnded(outcome):
                self._ended(outcome)
            case Stopping():
                _log(_WARNING, "stopping: removing temporary files from the server")
            case RunEnded(report):
                self._run_ended(report)
            case HookSaid():
                _log(_INFO, hook_line(event))
            case HookFailed() | PingFailed():
                _log(_WARNING, hook_line(event).removeprefix("warning: "))
            case _:
                self._rest(event)

    def _connected(self, event: Connected) -> None:
        because = f" ({shown(event.reason)})" if event.reason else ""
        where = f"{shown(event.host)}, directory {shown(event.directory)}"
        _log(_INFO, f"connected to {where}; verification: {shown(event.verification)}{because}")

    def _ended(self, outcome: Outcome) -> None:
        path = f"{shown(outcome.entry.path)}{_to(outcome.destination)}"
        match outcome:
            case Committed():
                became = f"{shown(outcome.entry.remote_path)}, {size(outcome.size)}"
                how = f", unchanged, the same file as {shown(outcome.same_as)}" if outcome.same_as else ""
                _log(_INFO, f"committed {path} as {became}, digest {outcome.digest}{how}")
            case Failed():
                _log(_ERROR, f"NOT BACKED UP: {path}: {one_line(outcome.error)}")
            case Interrupted():
                _log(_WARNING, f"not committed: {path}")

    def _run_ended(self, report: Report) -> None:
        headline, *trouble = summary(report)
        _log(_WARNING if report.exit_code else _INFO, f"{headline}; exit code {int(report.exit_code)}")
        for line in trouble:
            _log(_WARNING, line.strip())


class LogFormat(logging.Formatter):
    """`TIME LEVEL [RUN] text`; for the journal, which knows the time, `<PRIORITY>[RUN] text` (sd-daemon(3)).

    A record is one line, whatever a library puts into it.
    """

    def __init__(self, run: str, *, for_journal: bool) -> None:
        super().__init__()
        self._run = run
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        if record.name != LOGGER.name:
            text = f"{record.name}: {shown(text)}"
        if self._for_journal:
            priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
            return f"<{priority}>[{self._run}] {text}"
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        return f"{time} {record.levelname} [{self._run}] {text}"


def _to(destination: str) -> str:
    return f" to {shown(destination)}" if destination else ""


def _log(level: int, text: str) -> None:
    LOGGER.log(level, "%s", text)
