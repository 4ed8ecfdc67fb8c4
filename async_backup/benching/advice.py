"""From measurements to words: which part holds a backup back, and which flags suit it. Pure.

Each part is turned into a ceiling: the raw bytes a second that a backup could reach if nothing else held it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from async_backup.benching.evidence import WINDOW, evidence_of, told
from async_backup.benching.flags import Flags, recommended, sweep_flags
from async_backup.benching.results import job_rate, rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backup.benching.evidence import Evidence
    from async_backup.benching.results import Measurement, WholeJob
    from async_backup.config import Limits

_BUSY = 0.85
_WAITS = 0.6
"""A share of processor time below which something waits for its disk."""

_EXPLAINS = 0.5
"""A backup that reaches this share of a ceiling is held back by it: the parts share processors and line."""

_SHORT = 8.0


class Bottleneck(StrEnum):
    """What holds a backup back."""

    SOURCE = "source disk"
    CPU = "processors"
    WINDOW = "SSH window"
    LINE = "line"
    ROUND_TRIPS = "round trips"
    SERVER = "server"
    UNCLEAR = "no single part"


class Ceiling(NamedTuple):
    """The raw bytes a second that one part allows, and how that is said."""

    part: Bottleneck
    rate: float
    words: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What the measurements say: `bottleneck` is None after a sweep, which compares flags, not parts."""

    bottleneck: Bottleneck | None
    explanation: str
    flags: Flags
    options: str
    """The flags as one line of options of `run`."""
    why: tuple[str, ...]


def advise(measurements: Sequence[Measurement], limits: Limits, *, processors: int) -> Advice | None:
    """The advice for backups like the one that was measured with `limits`; None where none was measured."""
    evidence = evidence_of(measurements, limits, processors)
    if evidence.job is None:
        return None
    part, explanation = _bottleneck(evidence, evidence.job)
    flags, why = recommended(evidence)
    return Advice(part, explanation, flags, flags.options, tuple(why))


def advise_after_sweep(jobs: Sequence[WholeJob]) -> Advice | None:
    """The flags of the fastest run, or of a nearly as fast one that costs less."""
    found = sweep_flags(jobs)
    if found is None:
        return None
    fastest, flags, why = found
    explanation = f"of {len(jobs)} backups the fastest reached {told(job_rate(fastest))} of source"
    return Advice(None, explanation, flags, flags.options, tuple(why))


def ceilings(evidence: Evidence) -> Iterator[Ceiling]:
    """One for each part that was measured, in the order of a byte's way."""
    yield from _of_packing(evidence)
    yield from _of_line(evidence)
    yield from _of_digest(evidence)
    yield from _of_small_files(evidence)


def _of_packing(evidence: Evidence) -> Iterator[Ceiling]:
    packing, reading = evidence.packing, evidence.reading
    if packing is None:
        return
    speed = rate(packing.size, packing.seconds)
    at_work = min(packing.processes, evidence.processors) * packing.seconds
    waits = packing.cpu_seconds is not None and packing.cpu_seconds < _WAITS * at_work
    if waits and reading is not None and reading.is_cold and reading.cpu_seconds < _WAITS * reading.seconds:
        yield Ceiling(Bottleneck.SOURCE, speed, f"the packing processes wait for the source: {told(speed)}")
    else:
        words = f"{packing.processes} packing processes read and compress {told(speed)}"
        yield Ceiling(Bottleneck.CPU, speed, words)


def _of_line(evidence: Evidence) -> Iterator[Ceiling]:
    upload, trip = evidence.upload, evidence.round_trip
    if upload is None:
        return
    speed = rate(upload.size, upload.seconds)
    number = upload.connections * upload.channels
    words = f"{number} channels carry {told(speed)} of archives"
    if trip is not None and _is_window(evidence, speed, number, trip.median):
        words += (
            f"; each has 2 MiB under way in a round trip of {trip.median * 1000:.1f} ms, "
            f"so they cannot carry more than {told(number * WINDOW / trip.median)}"
        )
        yield Ceiling(Bottleneck.WINDOW, speed / evidence.ratio, words)
    else:
        yield Ceiling(Bottleneck.LINE, speed / evidence.ratio, words + ", and more channels do not carry more")


def _is_window(evidence: Evidence, speed: float, channels: int, round_trip: float) -> bool:
    """Whether the channels are full, and more of them would carry more."""
    is_full = speed > _WAITS * channels * WINDOW / round_trip
    return is_full and evidence.best_upload > 1.2 * speed


def _of_digest(evidence: Evidence) -> Iterator[Ceiling]:
    speed = evidence.digest_rate
    if speed:
        words = f"the server's digests take {told(speed)} of archives"
        yield Ceiling(Bottleneck.SERVER, speed / evidence.ratio, words)


def _of_small_files(evidence: Evidence) -> Iterator[Ceiling]:
    """Small entries cost answers of the server, however little is in them."""
    if not evidence.are_entries_small:
        return
    alone, waiting = evidence.seconds_of_a_worker, evidence.limits.small_archives
    if alone and evidence.waits_for_answers:
        speed = waiting / alone * evidence.entry_size
        words = f"{waiting} small archives at once wait {1000 * alone:.0f} ms each for answers, so {told(speed)}"
        yield Ceiling(Bottleneck.ROUND_TRIPS, speed, words)
    if evidence.entries_a_second:
        speed = evidence.entries_a_second * evidence.entry_size
        words = f"the server creates, flushes and renames {evidence.entries_a_second:.0f} archives a second"
        yield Ceiling(Bottleneck.SERVER, speed, words)


def _bottleneck(evidence: Evidence, job: WholeJob) -> tuple[Bottleneck, str]:
    found = list(ceilings(evidence))
    reached = job_rate(job)
    whole = f"the whole job reached {told(reached)} of source"
    lowest = min(found, key=lambda ceiling: ceiling.rate, default=None)
    if lowest is not None and reached >= _EXPLAINS * lowest.rate:
        return lowest.part, f"{whole}; the lowest ceiling is {told(lowest.rate)}: {lowest.words}"
    if job.parent_cpu_seconds > _BUSY * job.seconds:
        return Bottleneck.CPU, f"{whole}; the process that hashes, encrypts and sends had no time left"
    if job.busy is not None and job.busy > _BUSY:
        return Bottleneck.CPU, f"{whole}; this machine's processors were {_busy(job.busy, job, evidence)}"
    if evidence.are_entries_small and evidence.waits_for_answers:
        return Bottleneck.ROUND_TRIPS, f"{whole}; its small entries wait for answers most of the time"
    return Bottleneck.UNCLEAR, _unclear(whole, lowest, job)


def _busy(busy: float, job: WholeJob, evidence: Evidence) -> str:
    spent = job.cpu_seconds
    if spent is None or not job.seconds:
        return f"{busy:.0%} busy"
    own = min(busy, spent / (job.seconds * evidence.processors))
    return f"{busy:.0%} busy, {own:.0%} with this backup and {busy - own:.0%} with others (the server, if it is here)"


def _unclear(whole: str, lowest: Ceiling | None, job: WholeJob) -> str:
    text = whole if lowest is None else f"{whole}, though each part alone allows {told(lowest.rate)} or more"
    if job.busy is not None:
        text += f"; this machine's processors were {job.busy:.0%} busy"
    if job.seconds < _SHORT:
        text += f"; it took {job.seconds:.1f} s only, of which beginnings and ends are a large part (see --seconds)"
    return text
