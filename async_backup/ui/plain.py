"""Plain lines: what the classic script printed, and what went wrong on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from async_backup.archive.member import ProblemKind
from async_backup.errors import CopyMismatch, DigestMismatch
from async_backup.events import (
    AttemptFailed,
    Connected,
    DestinationLost,
    EntryEnded,
    EntrySkipped,
    EntryStarted,
    FewerConnections,
    FileProblem,
    LeftoverRemoved,
    ReuseRefused,
    RunEnded,
    SourceEmpty,
    Stopping,
)
from async_backup.model import Committed, Failed, Interrupted
from async_backup.remote.base import READBACK
from async_backup.text import counted, one_line, shown, size
from async_backup.ui.lines import NORMAL, Lines
from async_backup.ui.summary import summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backup.errors import BackupError
    from async_backup.events import Event
    from async_backup.model import Entry


class PlainPrinter(Lines):
    """A listener that prints lines: news to `out`, trouble to `err`."""

    def __init__(self, out: Callable[[str], None], err: Callable[[str], None], verbosity: int = NORMAL) -> None:
        super().__init__(out, err, verbosity)
        self._told: list[BackupError] = []
        self._verifications: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case Connected() | DestinationLost() | ReuseRefused() | FewerConnections():
                self._destination(event)
            case LeftoverRemoved(path):
                self._out(f"removed what a dead run left: {shown(path)}")
            case EntrySkipped(path, reason):
                self._detail(f"skipped: {shown(path)} ({reason})")
            case SourceEmpty():
                self._err(empty(event))
            case EntryStarted(entry, attempt):
                self._detail(f"started: {shown(entry.path)}" + (f" (attempt {attempt})" if attempt > 1 else ""))
            case FileProblem(entry, problem, is_loss):
                say = self._err if is_loss else self._detail
                say(f"{_KINDS[problem.kind]}: {shown(entry.source)}/{shown(problem.path)}: {shown(problem.reason)}")
            case AttemptFailed(entry, error, attempt):
                self._attempt_failed(entry, error, attempt)
            case EntryEnded(outcome):
                self._ended(outcome)
            case Stopping():
                self._err("stopping: removing temporary files from the server (once more to stop at once)")
            case RunEnded(report):
                lines = summary(report)
                self._out(lines[0])
                for line in lines[1:]:
                    self._err(line)
            case _:
                pass

    def _destination(self, event: Connected | DestinationLost | ReuseRefused | FewerConnections) -> None:
        if isinstance(event, Connected):
            self._connected(event)
        elif isinstance(event, ReuseRefused):
            self._out(refused(event))
        elif isinstance(event, FewerConnections):
            self._out(fewer(event))
        else:
            self._told.append(event.error)
            self._err(f"NOTHING IS STORED at {shown(event.destination)}: {one_line(event.error)}")

    def _connected(self, event: Connected) -> None:
        self._detail(f"connected to {event.host}, directory {shown(event.directory)}")
        self._verifications[event.destination] = event.verification
        if event.is_open_to_others:
            self._out(f"others on {event.host} may read the archives: the server does not keep files to their owner")
        if event.verification == READBACK:
            because = f" ({shown(event.reason)})" if event.reason else ""
            self._out(f"verification: archives are read back from the server and hashed here{because}")
        else:
            self._detail(f"verification: {event.verification} on the server")

    def _attempt_failed(self, entry: Entry, error: BaseException, attempt: int) -> None:
        if isinstance(error, DigestMismatch):
            self._mismatch(entry, error)
            self._err(f"trying again: {shown(entry.path)}")
        else:
            self._err(f"attempt {attempt} at {shown(entry.path)} failed, trying again: {one_line(error)}")

    def _how(self, outcome: Committed) -> str:
        """Said where it is not as it was announced."""
        is_read_back = outcome.stored.computed_by == READBACK
        is_news = is_read_back and self._verifications.get(outcome.destination) != READBACK
        return " (read back: the server gave no digest of it)" if is_news else ""

    def _mismatch(self, entry: Entry, error: DigestMismatch) -> None:
        self._err(f"hash values of {shown(entry.archive)} do not match")
        self._err(f"  before upload: {error.sent}")
        self._err(f"  after upload:  {error.stored}")
        self._err("  the remote file was removed")
        if isinstance(error, CopyMismatch):
            self._err(f"  pieces of it were copied from {shown(error.older)}: verify tells whether that is damaged")

    def _committed(self, outcome: Committed) -> None:
        if outcome.same_as:
            before, after, done = "recorded: ", "now:      ", "unchanged"
            how = f", the same file as {shown(outcome.same_as)}"
        else:
            before, after, done = "before upload: ", "after upload:  ", "upload completed"
            how = f", {size(outcome.copied)} of it copied there" if outcome.copied else ""
        self._out(f"hash values of {shown(outcome.entry.archive)} match{self._how(outcome)}")
        self._out(f"  {before}{outcome.digest}")
        self._out(f"  {after}{outcome.stored.value}")
        self._out(f"{done}: {route(outcome.entry, outcome.destination)} ({size(outcome.size)}{how})")

    def _ended(self, outcome: Committed | Failed | Interrupted) -> None:
        match outcome:
            case Committed():
                self._committed(outcome)
            case Failed() if any(outcome.error is told for told in self._told):
                self._detail(f"not backed up: {route(outcome.entry, outcome.destination)}")
            case Failed():
                if isinstance(outcome.error, DigestMismatch):
                    self._mismatch(outcome.entry, outcome.error)
                self._err(f"NOT BACKED UP: {shown(outcome.entry.path)}: {one_line(outcome.error)}")
            case Interrupted():
                self._err(f"not committed: {shown(outcome.entry.path)}")
            case _:
                assert_never(outcome)


def route(entry: Entry, destination: str) -> str:
    """`SOURCE/entry --> DEST/NAME.tar.gz`."""
    return f"{shown(entry.path)} --> {shown(destination.rstrip('/'))}/{shown(entry.remote_path)}"


def refused(event: ReuseRefused) -> str:
    """What to say of a server that does not help to send less."""
    return f"no {event.what} at {shown(event.destination)}, sent instead: {shown(event.reason)}"


def fewer(event: FewerConnections) -> str:
    """What to say of connections that a server does not take."""
    there = counted(event.connections, "connection")
    return f"only {there} to {shown(event.destination)}, not {event.wanted}: {shown(event.reason)}"


def empty(event: SourceEmpty) -> str:
    """What to say of a source in which nothing is backed up."""
    if event.skipped:
        skipped = counted(event.skipped, "entry", "entries")
        return f"nothing to back up: all that is in {shown(event.path)} is left out ({skipped})"
    return f"nothing to back up: no entries were found in {shown(event.path)}; is it mounted?"


_KINDS = {
    ProblemKind.UNREADABLE: "not readable, left out",
    ProblemKind.VANISHED: "vanished while it was read",
    ProblemKind.CHANGED: "changed while it was read",
    ProblemKind.CUT: "cut short",
    ProblemKind.REPLACED: "replaced while it was read",
    ProblemKind.XATTRS: "stored without all its attributes",
    ProblemKind.SKIPPED: "skipped",
    ProblemKind.CHECKSUM_FILE: "no checksum file",
}
