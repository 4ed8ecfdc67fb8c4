"""The parts of a backup one by one, then the whole: what a benchmark does unless it sweeps."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from async_backup.benching.budget import Budget, in_thread
from async_backup.benching.common import backup_settings, make_ready
from async_backup.benching.job import WHOLE, measure_job
from async_backup.benching.latency import measure_round_trip
from async_backup.benching.local import LEVELS, Reader, compress, hash_all
from async_backup.benching.model import Sample, StepStarted
from async_backup.benching.packing import PACKING, measure_packing
from async_backup.benching.results import NotMeasured, SmallFiles, Upload, rate
from async_backup.benching.samples import SMALL_ENTRY
from async_backup.benching.storing import digestible, measure_digest, measure_small_files
from async_backup.benching.uploads import Lanes, candidates, open_uploads
from async_backup.errors import BackupError
from async_backup.remote.naming import RunId
from async_backup.remote.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_backup.benching.model import BenchEvent, BenchSettings
    from async_backup.benching.site import Site
    from async_backup.remote.store import SftpStore

_ROUND_TRIP, _UPLOADS, _SAMPLE, _READING = "round trip", "uploads", "making a sample", "reading"
_COMPRESSION, _HASHING, _DIGEST, _SMALL = "compression", "hashing", "digests on the server", "small files"
_WEIGHTS = {
    _ROUND_TRIP: 2,
    _UPLOADS: 20,
    _DIGEST: 5,
    _SMALL: 5,
    _SAMPLE: 4,
    _READING: 4,
    _COMPRESSION: 4,
    _HASHING: 1,
    PACKING: 6,
    WHOLE: 20,
}
_FOR_CLEANING = 0.95
"""The share of the time for measuring; the rest is for removing what it has left."""

_FOR_OPENING = 0.35
"""The share of the uploads' time in which connections are opened."""

_SHARE_OF_WAITING = 0.1
"""The share of all time that may be waited for connections: most of it comes back from the whole job in the end."""

_DIGESTED = b"upload"
_MOST_DIGESTS_AT_ONCE = 4
_MOST_SMALL_AT_ONCE = 64
_BEFORE_STOPPING = 0.85
"""The share of the whole job's time after which it is stopped, which takes a moment itself."""

_GUESSED_RATIO = 0.5
_GUESSED_RATE = 20 << 20
_MOST_RATE = 400 << 20


class Parts:
    """Measures one part after another; each failure costs only what depends on it."""

    def __init__(self, settings: BenchSettings, site: Site, scratch: Path, tell: Callable[[BenchEvent], None]) -> None:
        self._settings = settings
        self._site = site
        self._scratch = scratch
        self._tell = tell
        self._budget = Budget(settings.seconds * _FOR_CLEANING, _WEIGHTS)
        self._round_trip = 0.0
        self._upload_rate = 0.0
        self._small_files = 0.0
        """A second, with several at once."""
        self._stored = 0
        """Bytes of the file that the uploads have written."""

    async def run(self) -> None:
        """Measure everything; raises BackupError only where there is no sample."""
        await self._measure_round_trip()
        await self._measure_uploads()
        await self._measure_server()
        source = await self._make_ready()
        await self._measure_locally(source)
        seconds = self._begin(WHOLE) * _BEFORE_STOPPING
        self._tell(await measure_job(backup_settings(self._settings, source, self._site, b"whole"), seconds))

    def _begin(self, step: str) -> float:
        seconds = self._budget.take(step)
        self._tell(StepStarted(step, seconds))
        return seconds

    async def _measure_round_trip(self) -> None:
        try:
            found = await measure_round_trip(self._site, self._begin(_ROUND_TRIP))
        except BackupError as error:
            self._tell(NotMeasured(_ROUND_TRIP, str(error)))
            return
        self._round_trip = found.median
        self._tell(found)

    async def _measure_uploads(self) -> None:
        seconds, settings = self._begin(_UPLOADS), self._settings
        opening = seconds * _FOR_OPENING
        own = Lanes(settings.limits.connections, settings.limits.channels)
        chosen = candidates(own, seconds - opening)
        most = Lanes(max(lanes.connections for lanes in chosen), max(lanes.channels for lanes in chosen))
        path = self._site.place(_DIGESTED)
        try:
            async with open_uploads(settings.destination, settings.ssh, most, path, self._round_trip) as uploads:
                await uploads.prepare(opening / 2)
                await uploads.wait_for(most, max(opening / 2, settings.seconds * _SHARE_OF_WAITING))
                for lanes in chosen:
                    self._note_upload(await uploads.measure(lanes, (seconds - opening) / len(chosen)))
                self._stored = await uploads.size()
        except BackupError as error:
            self._tell(NotMeasured(_UPLOADS, str(error)))

    def _note_upload(self, found: Upload | NotMeasured) -> None:
        if isinstance(found, Upload):
            self._upload_rate = max(self._upload_rate, rate(found.size, found.seconds))
        self._tell(found)

    async def _make_ready(self) -> Path:
        seconds = self._begin(_SAMPLE)
        expected = min(_MOST_RATE, (self._upload_rate or _GUESSED_RATE) / _GUESSED_RATIO)
        if self._settings.sample is Sample.MANY_SMALL and self._small_files:
            expected = min(expected, self._small_files * SMALL_ENTRY)
        return await make_ready(self._settings, self._scratch, expected * self._job_seconds(), seconds, self._tell)

    def _job_seconds(self) -> float:
        """What the whole job should take, somewhat less than it may."""
        return self._settings.seconds * _WEIGHTS[WHOLE] / sum(_WEIGHTS.values()) * 0.6

    async def _measure_locally(self, source: Path) -> None:
        settings = self._settings
        reader = Reader(os.fsencode(source), cold=settings.source is not None)
        self._tell(await in_thread(reader.run, self._begin(_READING)))
        segments, seconds = reader.segments(settings.limits.segment_size), self._begin(_COMPRESSION)
        if segments:
            for library, level in LEVELS:
                work = partial(compress, segments, library, level)
                self._tell(await in_thread(work, seconds / len(LEVELS)))
            work_hash = partial(hash_all, segments, settings.hash)
            self._tell(await in_thread(work_hash, self._begin(_HASHING)))
        else:
            self._tell(NotMeasured(_COMPRESSION, "no file could be read"))
        self._tell(await measure_packing(backup_settings(settings, source, self._site, b""), self._begin(PACKING)))

    async def _measure_server(self) -> None:
        settings = self._settings
        destination = replace(settings.destination, directory=self._site.directory)
        where = destination, settings.ssh, settings.limits
        seconds, run = self._begin(_DIGEST), RunId.of_this_process()
        try:
            async with open_store(*where, algorithm=settings.hash, verify=settings.verify) as store:
                await store.try_out(run)
                await self._measure_digests(store, seconds)
                await self._measure_small_files(store, self._begin(_SMALL))
        except BackupError as error:
            self._tell(NotMeasured(f"{_DIGEST} and {_SMALL}", str(error)))

    async def _measure_digests(self, store: SftpStore, seconds: float) -> None:
        path, size = self._site.place(_DIGESTED), self._stored
        if not size:
            self._tell(NotMeasured(_DIGEST, "there is no file for it, since nothing was uploaded"))
            return
        several = min(self._settings.limits.connections, _MOST_DIGESTS_AT_ONCE)
        path, size = await digestible(store, self._site, path, size, seconds / 3 / several, shells=several)
        for at_once in dict.fromkeys((1, several)):
            self._tell(await measure_digest(store, path, size, at_once=at_once, seconds=seconds / 3))

    async def _measure_small_files(self, store: SftpStore, seconds: float) -> None:
        for at_once in (1, min(_MOST_SMALL_AT_ONCE, self._settings.limits.small_archives)):
            found = await measure_small_files(store, self._site, at_once=at_once, seconds=seconds / 2)
            if isinstance(found, SmallFiles):
                self._small_files = found.files / found.seconds
            self._tell(found)
