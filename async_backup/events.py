"""What happens during a backup, as frozen values for whoever listens: bars, plain lines, JSON lines.

A listener is called in the event loop and must return at once. The default one does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from async_backup.archive.member import Problem
    from async_backup.errors import BackupError
    from async_backup.model import Entry, Outcome, Report


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins. `run` names it, as in the run's temporary files; `destinations` are as events name them."""

    run: str
    started: datetime
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Connected:
    """The server is there and can be written to; `verification` is a command's name or "readback", with a reason."""

    host: str
    directory: bytes
    verification: str
    reason: str
    destination: str = ""
    is_open_to_others: bool = False
    """Whether the server lets others there read what is stored."""


@dataclass(frozen=True, slots=True)
class DestinationLost:
    """Nothing more can be stored there in this run; the other destinations go on."""

    destination: str
    error: BackupError


@dataclass(frozen=True, slots=True)
class LeftoverRemoved:
    """A temporary file of a run that died was removed from the server."""

    path: bytes


@dataclass(frozen=True, slots=True)
class EntryFound:
    """An entry was put into the queue."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class EntrySkipped:
    """Something in a source is not backed up, by its kind or by a pattern."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class SourceEmpty:
    """Nothing in a source is backed up: there is nothing, or all of it, `skipped` entries, is left out."""

    path: bytes
    skipped: int


@dataclass(frozen=True, slots=True)
class EntryStarted:
    """An attempt to make and upload an archive begins; `attempt` counts from 1."""

    entry: Entry
    attempt: int


@dataclass(frozen=True, slots=True)
class SegmentPacked:
    """A segment is ready to be sent: `raw` bytes of tar became `packed` bytes."""

    entry: Entry
    raw: int
    packed: int


@dataclass(frozen=True, slots=True)
class SegmentSent:
    """The server has taken `size` more bytes of the archive."""

    entry: Entry
    size: int
    destination: str = ""


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A file is not in the archive as it was on the disk; `is_loss` says whether the run is incomplete for it."""

    entry: Entry
    problem: Problem
    is_loss: bool


@dataclass(frozen=True, slots=True)
class EntryUploaded:
    """All of the archive is on the server under its temporary name; its digest is asked for next."""

    entry: Entry
    size: int
    digest: str
    destination: str = ""


@dataclass(frozen=True, slots=True)
class FewerConnections:
    """The run goes on over fewer connections than were `wanted`: the server takes no more, or not again."""

    destination: str
    connections: int
    wanted: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReuseRefused:
    """A server makes no "links" to older archives, or no "copies" of segments of them, or not this one: it is sent.

    Told once at each destination.
    """

    destination: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt came to nothing and what it had sent was removed; another one follows."""

    entry: Entry
    error: BackupError
    attempt: int
    destination: str = ""


@dataclass(frozen=True, slots=True)
class EntryEnded:
    """The one outcome of an entry at one destination."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Stopping:
    """The run was asked to stop; temporary files are being removed."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Everything has ended."""

    report: Report


Event = (
    RunStarted
    | Connected
    | DestinationLost
    | LeftoverRemoved
    | EntryFound
    | EntrySkipped
    | SourceEmpty
    | EntryStarted
    | SegmentPacked
    | SegmentSent
    | FileProblem
    | EntryUploaded
    | ReuseRefused
    | FewerConnections
    | AttemptFailed
    | EntryEnded
    | Stopping
    | RunEnded
)
Listener = Callable[[Event], None]


def ignore(event: object) -> None:
    """The listener that does nothing."""
