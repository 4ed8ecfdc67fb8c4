"""Whole backups with one set of flags after another: what a benchmark does when it sweeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread

from async_backup import worker_process
from async_backup.benching.budget import Budget
from async_backup.benching.common import backup_settings, make_ready
from async_backup.benching.job import measure_job
from async_backup.benching.latency import measure_round_trip
from async_backup.benching.model import Grid, Sample, StepStarted
from async_backup.benching.results import NotMeasured, Upload, rate
from async_backup.benching.samples import SMALL_ENTRY
from async_backup.benching.sweep import sweep
from async_backup.benching.uploads import Lanes, open_uploads
from async_backup.errors import BackupError
from async_backup.processes import warm_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_backup.benching.model import BenchEvent, BenchSettings
    from async_backup.benching.results import WholeJob
    from async_backup.benching.site import Site
    from async_backup.config import Limits

_LINE, _SAMPLE, _RUNS = "line", "making a sample", "backups"
_WEIGHTS = {_LINE: 6, _SAMPLE: 6, _RUNS: 88}
_FOR_CLEANING = 0.95
_OF_A_RUN = 0.4
"""The share of a run's time that its sample should take; the rest is for connecting, and for slow flags."""

_GUESSED_RATIO = 0.5
_UNKNOWN_RATE = 4 << 20
_MOST_RATE = 200 << 20
_ANSWERS, _SERVER_TIME = 2, 0.003
"""Round trips that a small entry keeps a worker for, and seconds of the server."""

_BEFORE_CLEARING = 0.75
"""The share of a run's time after which it is stopped: what it has stored has to be removed as well."""


class Sweeping:
    """Sizes the sample by a short look at the line, then runs one backup after another on it."""

    def __init__(self, settings: BenchSettings, site: Site, scratch: Path, tell: Callable[[BenchEvent], None]) -> None:
        self._settings = settings
        self._site = site
        self._scratch = scratch
        self._tell = tell
        self._grid = settings.sweep or Grid()
        self._budget = Budget(settings.seconds * _FOR_CLEANING, _WEIGHTS)
        self._runs = self._grid.runs(settings.limits)
        self._done = 0
        self._round_trip = 0.0

    async def run(self) -> None:
        """Run all backups; raises BackupError where there is no sample."""
        speed = await self._look_at_line(self._budget.take(_LINE))
        each = self._settings.seconds * _FOR_CLEANING * _WEIGHTS[_RUNS] / sum(_WEIGHTS.values()) / self._runs
        size = min(_MOST_RATE, speed / _GUESSED_RATIO, self._most_of_small()) * each * _OF_A_RUN
        source = await make_ready(self._settings, self._scratch, size, self._budget.take(_SAMPLE), self._tell)
        await to_thread.run_sync(warm_up, worker_process.__name__)
        await sweep(self._settings.limits, self._grid, lambda limits: self._run(source, limits))

    def _most_of_small(self) -> float:
        """Bytes a second of small entries that wait for their answers."""
        if self._settings.sample is not Sample.MANY_SMALL or self._settings.source is not None:
            return _MOST_RATE
        return self._settings.limits.small_archives * SMALL_ENTRY / (_ANSWERS * self._round_trip + _SERVER_TIME)

    async def _look_at_line(self, seconds: float) -> float:
        """Bytes a second through the channels that are set."""
        settings = self._settings
        self._tell(StepStarted("a short look at the line", seconds))
        own = Lanes(settings.limits.connections, settings.limits.channels)
        try:
            trip = await measure_round_trip(self._site, seconds / 4)
            self._tell(trip)
            self._round_trip = trip.median
            path = self._site.place(b"upload")
            async with open_uploads(settings.destination, settings.ssh, own, path, trip.median) as uploads:
                await uploads.prepare(seconds / 4)
                await uploads.wait_for(own, seconds / 4)
                found = await uploads.measure(own, seconds / 2)
                found = found if isinstance(found, Upload) else await uploads.measure(Lanes(1, 1), seconds / 4)
        except BackupError as error:
            found = NotMeasured("upload", str(error))
        self._tell(found)
        return rate(found.size, found.seconds) if isinstance(found, Upload) else _UNKNOWN_RATE

    async def _run(self, source: Path, limits: Limits) -> WholeJob | NotMeasured:
        self._done += 1
        seconds = self._budget.left / max(1, self._runs - self._done + 1) * _BEFORE_CLEARING
        self._tell(StepStarted(f"backup {self._done} of {self._runs} ({_told(limits)})", seconds))
        name = b"run-%d" % self._done
        found = await measure_job(backup_settings(self._settings, source, self._site, name, limits), seconds)
        if isinstance(found, NotMeasured):
            found = NotMeasured(_told(limits), found.reason)
        self._tell(found)
        await self._site.clear(name)
        return found


def _told(limits: Limits) -> str:
    return (
        f"{limits.workers} workers, {limits.processes} processes, {limits.connections} x {limits.channels} channels, "
        f"segments of {limits.segment_size >> 10} KiB"
    )
