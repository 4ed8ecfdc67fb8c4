"""The measurements, each in its place, and what follows from them at once. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from async_backup.benching.results import (
    Compression,
    Packing,
    Reading,
    RoundTrip,
    ServerDigest,
    SmallFiles,
    Upload,
    WholeJob,
    rate,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.benching.results import Measurement
    from async_backup.config import Limits

_T = TypeVar("_T")

WINDOW: Final = 2 << 20
"""Bytes that OpenSSH lets a channel have under way."""

_SMALL_ENTRY = 2 << 20
_NEARLY_AS_LONG = 4

_FILES_AN_ARCHIVE = 2
_ANSWERS_A_FILE = 3
_OF_A_WORKER = 2 / 3
"""The share of a small file's time in which it keeps a worker: the renaming is another task's."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured, None or empty where it was not; rates in bytes a second."""

    limits: Limits
    processors: int
    job: WholeJob | None
    reading: Reading | None
    packing: Packing | None
    round_trip: RoundTrip | None
    uploads: tuple[Upload, ...]
    digests: tuple[ServerDigest, ...]
    small_files: tuple[SmallFiles, ...]
    compressions: tuple[Compression, ...]

    @property
    def ratio(self) -> float:
        """Packed bytes for each raw one."""
        for found in (self.job, self.packing):
            if found is not None and found.size:
                return max(found.packed / found.size, 1e-6)
        return 1.0

    @property
    def upload(self) -> Upload | None:
        """The one through as many channels as the job had, or the next fewer."""
        own = self.limits.connections, self.limits.channels
        fitting = [found for found in self.uploads if _streams(found) <= own[0] * own[1]]
        same = [found for found in fitting if (found.connections, found.channels) == own]
        return next(iter(same), max(fitting, key=_streams, default=None))

    @property
    def best_upload(self) -> float:
        return max((rate(found.size, found.seconds) for found in self.uploads), default=0.0)

    @property
    def digest_rate(self) -> float:
        """Without the way of question and answer; 0 where that was most of it, so that nothing is known."""
        way = self.round_trip.median if self.round_trip else 0.0
        told_more = [found for found in self.digests if found.seconds > 2 * way]
        return max((rate(found.at_once * found.size, found.seconds - way) for found in told_more), default=0.0)

    @property
    def seconds_a_file(self) -> float | None:
        """For one small file alone."""
        return next((found.seconds / found.files for found in self.small_files if found.at_once == 1), None)

    @property
    def seconds_of_a_worker(self) -> float | None:
        """For the archive of one small entry."""
        return None if self.seconds_a_file is None else self.seconds_a_file * _OF_A_WORKER

    @property
    def entries_a_second(self) -> float:
        """Archives that the server takes, however small they are and however many come at once."""
        return max((found.files / found.seconds for found in self.small_files), default=0.0) / _FILES_AN_ARCHIVE

    @property
    def entry_size(self) -> float:
        """Raw bytes of an entry on average."""
        return self.job.size / max(1, self.job.entries) if self.job else 0.0

    @property
    def are_entries_small(self) -> bool:
        """Whether the answers that an archive waits for take as long as its content, or nearly so."""
        if self.job is None or not self.job.entries:
            return False
        while_waiting = self.best_upload * (self.seconds_of_a_worker or 0.0) * _NEARLY_AS_LONG
        return self.entry_size * self.ratio < min(_SMALL_ENTRY, while_waiting or _SMALL_ENTRY)

    @property
    def waits_for_answers(self) -> bool:
        """Whether a small file takes mostly round trips, and not the server's disk."""
        if self.round_trip is None or self.seconds_a_file is None:
            return False
        return _ANSWERS_A_FILE * self.round_trip.median > self.seconds_a_file / 2


def _streams(upload: Upload) -> int:
    return upload.connections * upload.channels


def evidence_of(measurements: Sequence[Measurement], limits: Limits, processors: int) -> Evidence:
    """Sort what was measured; of what there should be one of, the last."""

    def all_of(kind: type[_T]) -> tuple[_T, ...]:
        return tuple(one for one in measurements if isinstance(one, kind))

    def last(kind: type[_T]) -> _T | None:
        return (all_of(kind) or (None,))[-1]

    return Evidence(
        limits,
        processors,
        last(WholeJob),
        last(Reading),
        last(Packing),
        last(RoundTrip),
        all_of(Upload),
        all_of(ServerDigest),
        all_of(SmallFiles),
        all_of(Compression),
    )


def told(speed: float) -> str:
    """`12.3 MiB/s`, `340 KiB/s`."""
    if speed >= 1 << 20:
        return f"{speed / (1 << 20):.{0 if speed >= 100 << 20 else 1}f} MiB/s"
    return f"{speed / (1 << 10):.0f} KiB/s"
