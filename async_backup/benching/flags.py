"""Flags that suit what was measured, and why. Pure."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from async_backup.benching.evidence import WINDOW, told
from async_backup.benching.results import job_rate, rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backup.benching.evidence import Evidence
    from async_backup.benching.results import Upload, WholeJob

_NEARLY = 0.93
"""A share of the best rate that is as good: the rest is noise, and costs memory and logins."""

_USUAL_WORKERS = 8
_WORKERS_WHY = "workers: a few large entries keep everything busy, and small ones wait for their answers beside them"
_SPARE = 1.25
_WORTH_A_LEVEL = 1.15
_MIB = 1 << 20


class Flags(NamedTuple):
    """Options of `run`; None for what stays as it is."""

    workers: int
    processes: int
    connections: int
    channels: int
    segment_size: int | None = None

    @property
    def options(self) -> str:
        """The line to copy."""
        line = (
            f"--workers {self.workers} --processes {self.processes} "
            f"--connections {self.connections} --channels {self.channels}"
        )
        return line if self.segment_size is None else f"{line} --segment-size {_size(self.segment_size)}"


class _Choice(NamedTuple):
    value: int
    why: str


def _size(count: int) -> str:
    for unit, name in ((_MIB, "MiB"), (1 << 10, "KiB")):
        if count % unit == 0:
            return f"{count // unit}{name}"
    return str(count)


def recommended(evidence: Evidence) -> tuple[Flags, Iterator[str]]:
    """The flags, and a sentence for each decision."""
    connections, channels, lanes_why = _lanes(evidence)
    processes = _processes(evidence)
    flags = Flags(_USUAL_WORKERS, processes.value, connections, channels)
    return flags, filter(None, (lanes_why, _WORKERS_WHY, processes.why, _level(evidence)))


def _wanted(evidence: Evidence) -> float:
    """Packed bytes a second that the packing can deliver, or as many as the line takes."""
    best = evidence.best_upload
    if evidence.packing is None:
        return best
    return min(best, rate(evidence.packing.size, evidence.packing.seconds) * evidence.ratio)


def _lanes(evidence: Evidence) -> tuple[int, int, str]:
    limits = evidence.limits
    if not evidence.uploads:
        return limits.connections, limits.channels, "no upload was measured: connections and channels stay"
    wanted = _wanted(evidence)
    enough = [found for found in evidence.uploads if rate(found.size, found.seconds) >= _NEARLY * wanted]
    chosen = min(enough, key=_streams)
    if evidence.are_entries_small and chosen.connections * chosen.channels < limits.connections * limits.channels:
        why = "connections and channels stay: small entries are flushed one by one in each, so several help"
        return limits.connections, limits.channels, why
    connections, channels = max(2, chosen.connections), chosen.channels
    carried = told(rate(chosen.size, chosen.seconds))
    why = (
        f"connections and channels: {chosen.connections} x {chosen.channels} carried {carried}, "
        f"and the packing delivers no more than {told(wanted)} of archives"
        if wanted < _NEARLY * evidence.best_upload
        else f"connections and channels: {chosen.connections} x {chosen.channels} carried {carried}, "
        f"the best of all was {told(evidence.best_upload)}"
    )
    if chosen.connections == 1:
        why += "; a second connection takes over where one is lost"
    return connections, channels, why + _more(evidence, chosen)


def _more(evidence: Evidence, chosen: Upload) -> str:
    """A hint where the most channels that were tried are still full."""
    trip, number = evidence.round_trip, chosen.connections * chosen.channels
    is_most = all(number >= found.connections * found.channels for found in evidence.uploads)
    if trip is None or not is_most or rate(chosen.size, chosen.seconds) < 0.6 * number * WINDOW / trip.median:
        return ""
    return "; more may carry more: try --sweep --connections 8,16 --channels 4,8"


def _streams(upload: Upload) -> tuple[int, int]:
    return upload.connections * upload.channels, upload.connections


def _processes(evidence: Evidence) -> _Choice:
    packing, most = evidence.packing, evidence.processors
    if packing is None or not evidence.uploads:
        return _Choice(evidence.limits.processes, "")
    one = rate(packing.size, packing.seconds) / min(packing.processes, most)
    line = evidence.best_upload / evidence.ratio
    value = max(1, min(most, ceil(_SPARE * line / one)))
    if value < most:
        return _Choice(value, f"processes: as many as pack what the line takes ({told(line)} of source)")
    return _Choice(value, "processes: one for each processor, since the line takes all that they pack")


def _level(evidence: Evidence) -> str:
    """A hint where a slow line leaves time for smaller archives."""
    job = evidence.job
    known = {one.level: one for one in evidence.compressions if one.size and one.packed and one.seconds}
    if job is None or 1 not in known or not evidence.uploads:
        return ""
    reached = {level: _with_level(evidence, level) for level in known}
    best = max(reached, key=lambda level: reached[level])
    if best == 1 or reached[best] < _WORTH_A_LEVEL * reached[1]:
        return ""
    fewer = 1 - known[best].packed / known[best].size / (known[1].packed / known[1].size)
    return f"and consider --level {best}: it sends {fewer:.0%} less, and the processors have time for it"


def _with_level(evidence: Evidence, level: int) -> float:
    """Raw bytes a second: as many as the processors compress and the line takes."""
    one = next(found for found in evidence.compressions if found.level == level)
    processes = min(evidence.processors, evidence.limits.processes)
    return min(processes * rate(one.size, one.seconds), evidence.best_upload * one.size / one.packed)


def sweep_flags(jobs: Sequence[WholeJob]) -> tuple[WholeJob, Flags, Iterator[str]] | None:
    """The fastest run of a sweep, the flags to take, and why; None of none."""
    fastest = max(jobs, key=job_rate, default=None)
    if fastest is None:
        return None
    near = [job for job in jobs if job_rate(job) >= 0.95 * job_rate(fastest)]
    chosen = min(near, key=_cost)
    limits = chosen.limits
    flags = Flags(limits.workers, limits.processes, limits.connections, limits.channels, limits.segment_size)
    return fastest, flags, iter(_sweep_why(jobs, fastest, chosen))


def _cost(job: WholeJob) -> tuple[float, int]:
    spent = job.cpu_seconds
    return (spent / job.size if spent is not None and job.size else 0.0), job.limits.connections * job.limits.channels


def _sweep_why(jobs: Sequence[WholeJob], fastest: WholeJob, chosen: WholeJob) -> Iterator[str]:
    if chosen is fastest:
        yield "they were the fastest, and none nearly as fast cost less processor time"
    else:
        yield f"they reached {told(job_rate(chosen))} for less processor time, or over fewer channels"
    slowest = min(jobs, key=job_rate)
    yield f"the slowest reached {told(job_rate(slowest))}; differences below 5 % are noise"
