"""What was measured. Sizes in bytes, times in seconds; each is an event of its own.

"Raw" are bytes of tar, as they come from the source; "packed" are bytes of archives, as they travel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_backup.config import Limits


@dataclass(frozen=True, slots=True)
class Reading:
    """Files of the source were read one after another; `cpu_seconds` is what of that was not waiting for the disk.

    `is_cold` says that the system was asked to forget them first, so that they came from the disk.
    """

    files: int
    size: int
    seconds: float
    cpu_seconds: float
    is_cold: bool


@dataclass(frozen=True, slots=True)
class Compression:
    """`size` bytes became `packed` bytes, in one thread."""

    library: str
    level: int
    size: int
    packed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Hashing:
    """`size` bytes were hashed here, in one thread."""

    algorithm: str
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Packing:
    """All packing processes read, packed and hashed `size` raw bytes; nothing was sent.

    `cpu_seconds` are those of the processes together, None where this system does not tell.
    """

    processes: int
    size: int
    packed: int
    seconds: float
    cpu_seconds: float | None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """How long an SFTP request without data takes: the median of `requests`, and its quartiles."""

    requests: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Upload:
    """`size` bytes were written through so many channels of each of so many connections at once."""

    connections: int
    channels: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ServerDigest:
    """So many digests of `size` bytes each were computed at once, by a command of the server or by reading back."""

    at_once: int
    size: int
    seconds: float
    computed_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class SmallFiles:
    """Files of 4 KiB were created, written, flushed to the disk and renamed, so many at once."""

    at_once: int
    files: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WholeJob:
    """A real backup, from the connection on to the last commit.

    Attributes:
        limits: The flags that it ran with.
        entries: Archives that were committed.
        size: Raw bytes.
        packed: Bytes that the server took.
        seconds: Without `connect_seconds`, which passed before.
        parent_cpu_seconds: Of the process that sends.
        packing_cpu_seconds: Of the packing processes, None where this system does not tell.
        busy: The share of this machine's processors that was in use, by whomever, from 0 to 1; None as above.
        is_whole: Whether it came to its end, or its time was up before.
    """

    limits: Limits
    entries: int
    size: int
    packed: int
    seconds: float
    connect_seconds: float
    parent_cpu_seconds: float
    packing_cpu_seconds: float | None
    busy: float | None
    is_whole: bool

    @property
    def cpu_seconds(self) -> float | None:
        """Of all our processes."""
        return None if self.packing_cpu_seconds is None else self.parent_cpu_seconds + self.packing_cpu_seconds


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """Something could not be measured, and why."""

    what: str
    reason: str


Measurement = (
    Reading | Compression | Hashing | Packing | RoundTrip | Upload | ServerDigest | SmallFiles | WholeJob | NotMeasured
)


def rate(size: float, seconds: float) -> float:
    """Bytes a second; 0 where nothing was done."""
    return size / seconds if seconds > 0 else 0.0


def job_rate(job: WholeJob) -> float:
    """Raw bytes a second."""
    return rate(job.size, job.seconds)
