"""The public call: measure the parts, then the whole, clean up, and say what it means."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import Event, move_on_after

from async_backup.benching.advice import advise, advise_after_sweep
from async_backup.benching.model import BenchEnded, BenchReport, BenchStarted, LeftoverRemoved
from async_backup.benching.parts import Parts
from async_backup.benching.results import Measurement, NotMeasured, WholeJob
from async_backup.benching.samples import temporary_directory
from async_backup.benching.site import open_site
from async_backup.benching.sweeping import Sweeping
from async_backup.events import ignore
from async_backup.heap import keep_freed_memory
from async_backup.remote.naming import RunId
from async_backup.scan import resolve_sources
from async_backup.stopping import unless_stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.benching.model import BenchEvent, BenchListener, BenchSettings
    from async_backup.benching.site import Site

_LATE = 4.0
"""Seconds beyond the time that was given, after which whatever still runs is cut."""


async def bench(settings: BenchSettings, listener: BenchListener = ignore, *, stop: Event | None = None) -> BenchReport:
    """Measure backups to a destination, in about `settings.seconds`; the destination is left as it was.

    Setting `stop` ends it within seconds. Raises BackupError where nothing can be measured: no connection, no
    source, no directory that can be written to. Starts processes as `backup` does.
    """
    keep_freed_memory()
    if settings.source is not None:
        resolve_sources((settings.source,))
    return await _Bench(settings, listener, stop or Event()).run()


class _Bench:
    """One benchmark under way."""

    def __init__(self, settings: BenchSettings, listener: BenchListener, stop: Event) -> None:
        # One second try is enough to get over a lost connection; more would take the time of other measurements.
        limits = replace(settings.limits, retries=min(1, settings.limits.retries))
        self._settings = replace(settings, limits=limits)
        self._listener = listener
        self._stop = stop
        self._found: list[Measurement] = []
        self._leftovers: list[str] = []

    async def run(self) -> BenchReport:
        began = time.monotonic()
        await unless_stopped(self._stop, self._measure)
        report = self._report(time.monotonic() - began)
        self._listener(BenchEnded(report))
        return report

    async def _measure(self) -> None:
        settings = self._settings
        async with self._opened() as site:
            with temporary_directory() as scratch, move_on_after(settings.seconds + _LATE) as limit:
                measure = Sweeping if settings.sweep else Parts
                await measure(settings, site, Path(scratch), self._tell).run()
            if limit.cancelled_caught:
                self._tell(NotMeasured("the rest", "the time was up"))

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Site]:
        settings = self._settings
        where = settings.destination, settings.ssh, RunId.of_this_process()
        async with open_site(
            *where, retries=settings.limits.retries, leftovers=self._leftovers, is_stopped=self._stop.is_set
        ) as site:
            for path in site.removed:
                self._listener(LeftoverRemoved(path))
            self._listener(BenchStarted(site.host, site.directory, settings.seconds))
            yield site

    def _tell(self, event: BenchEvent) -> None:
        if isinstance(event, Measurement):
            self._found.append(event)
        self._listener(event)

    def _report(self, seconds: float) -> BenchReport:
        found = tuple(self._found)
        if self._settings.sweep:
            advice = advise_after_sweep([job for job in found if isinstance(job, WholeJob)])
        else:
            advice = advise(found, self._settings.limits, processors=os.cpu_count() or 1)
        return BenchReport(found, advice, self._stop.is_set(), seconds, tuple(self._leftovers))
