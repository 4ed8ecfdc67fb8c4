"""The public call that restores every entry: the newest archive of each, many small ones at a time."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from anyio import CancelScope, Event, Lock, to_thread

from async_backup import unpack_process
from async_backup.archive.descent import HELD_OPEN
from async_backup.archive_names import NameParser
from async_backup.catalog import read_catalog
from async_backup.errors import SERVER_GONE, BackupError, NotInArchive
from async_backup.events import ignore
from async_backup.heap import keep_freed_memory
from async_backup.processes import warmed_up
from async_backup.remote.store import open_archives
from async_backup.restoring.foreseen import check_wanted
from async_backup.restoring.model import AllEnded, AllReport, AllStarted, BytesRestored, RestoreEnded
from async_backup.restoring.restore import Restore
from async_backup.restoring.source_directories import SourceDirectories
from async_backup.restoring.target import is_empty
from async_backup.stopping import unless_stopped
from async_backup.tasks import side_by_side
from async_backup.text import counted
from async_backup.unpackers import open_unpackers

if TYPE_CHECKING:
    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteStore
    from async_backup.restoring.model import RestoreEvent, RestoreListener, RestoreReport, RestoreSettings, Which
    from async_backup.restoring.restore import OpenUnpackers


async def restore_all(
    settings: RestoreSettings, which: Which, listener: RestoreListener = ignore, *, stop: Event | None = None
) -> AllReport:
    """Restore the newest archive of every entry, or of those that `which` names; an error costs no other archive.

    What comes from a directory of the destination, as the archives of one of several sources do, lands in a directory
    of that name. The archive and the paths that `settings` name do not count. Setting `stop` ends it early. Raises
    BackupError where there is no such archive, a named entry has none, no pattern leaves anything in any of them, or
    there is no connection. Starts processes as `backup` does.
    """
    keep_freed_memory()
    stop = stop or Event()
    running = RestoreAll(settings, which, listener, open_unpackers, stop, at_once=_at_once(settings.limits.restores))
    began = time.monotonic()
    await unless_stopped(stop, running.connect_and_run)
    report = running.report(time.monotonic() - began)
    listener(AllEnded(report))
    return report


_DESCRIPTORS = HELD_OPEN + 4
"""Open files that the restore of one small archive may need at a time."""

_OTHER_DESCRIPTORS = 128
"""Open files that the program has beside them, with many connections."""


def _at_once(wanted: int) -> int:
    """As many as wanted, or as the limit of open files allows."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, (allowed - _OTHER_DESCRIPTORS) // _DESCRIPTORS))


_EVENTS_KEPT = 1000
"""Events of one archive that wait for its end; with more of them those of others may come between."""


class RestoreAll:
    """Restores the archives of a store, with unpackers of any kind."""

    def __init__(
        self,
        settings: RestoreSettings,
        which: Which,
        listener: RestoreListener,
        unpackers: OpenUnpackers,
        stop: Event,
        *,
        at_once: int,
    ) -> None:
        """`at_once` archives may be under way, of which one at a time may be large."""
        self._settings = settings
        self._at_once = at_once
        self._turn = Lock()
        self._is_over = False
        self._which = which
        self._listener = listener
        self._unpackers = unpackers
        self._stop = stop
        self._is_empty = False
        self._directories = SourceDirectories(settings.target)
        self._archives: list[StoredArchive] = []
        self._reports: dict[bytes, RestoreReport] = {}

    def report(self, seconds: float) -> AllReport:
        """What became of all so far."""
        left = tuple(archive.path for archive in self._archives if archive.path not in self._reports)
        return AllReport(tuple(self._reports.values()), left, self._stop.is_set(), seconds)

    async def connect_and_run(self) -> None:
        """Restore from the server; what starts processes gets ready while the connection is made."""
        settings = self._settings
        opened = open_archives(settings.destination, settings.ssh, settings.limits)
        async with warmed_up(unpack_process.__name__), opened as store:
            await self.run(store)

    async def run(self, store: RemoteStore) -> None:
        """Restore; raises BackupError where there is nothing. Without a server the rest is left."""
        catalog = await read_catalog(store, NameParser(self._settings.timestamp_formats))
        self._archives = catalog.newest_of(*self._which)
        self._listener(AllStarted(len(self._archives), sum(archive.size for archive in self._archives)))
        with suppress(OSError):  # what is wrong with it is said of each archive
            self._is_empty = await to_thread.run_sync(is_empty, self._settings.target)
        await to_thread.run_sync(self._directories.make, self._archives)

        async def restore(archive: StoredArchive) -> None:
            if not self._is_over:
                await self._restore(store, archive)

        try:
            await side_by_side(restore, self._archives, at_once=self._at_once)
        finally:
            if self._settings.wish.has_patterns:
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._directories.remove_empty)
        if sum(report.is_unwanted for report in self._reports.values()) == len(self._archives):
            raise self._settings.wish.leaves_nothing(counted(len(self._archives), "archive"))

    async def _restore(self, store: RemoteStore, archive: StoredArchive) -> None:
        wrong, settings = self._directories.wrong_with(archive), settings_of(archive, self._settings)
        told = _Together(self._listener)
        turn = _Turn(self._turn, told)
        running = Restore(settings, told, self._unpackers, may_share=self._is_empty, turn=turn)
        error, is_cut_off = None, True
        try:
            if wrong:
                await check_wanted(store, archive, settings)
                raise wrong
            await running.run(store, archive)
            is_cut_off = False
        except BackupError as found:
            error, is_cut_off = found, False  # nothing was written
        finally:
            report = running.report(told.seconds, interrupted=is_cut_off)
            error = report.error or error
            is_unwanted = isinstance(error, NotInArchive)  # since there are no paths that could be missing
            report = replace(report, error=None if is_unwanted else error, is_unwanted=is_unwanted)
            self._take(archive, report, told)

    def _take(self, archive: StoredArchive, report: RestoreReport, told: _Together) -> None:
        """Note what became of an archive; one that nothing was done with when all came to an end is left."""
        if _is_untouched(report) and (self._is_over or self._stop.is_set()):
            return
        self._is_over = self._is_over or isinstance(report.error, SERVER_GONE)
        self._reports[archive.path] = report
        told.end(archive.size, report)


def settings_of(archive: StoredArchive, settings: RestoreSettings) -> RestoreSettings:
    """Those of one archive of all."""
    target = settings.target / os.fsdecode(os.path.dirname(archive.path))
    return replace(settings, archive=archive.path, paths=(), target=target)


def _is_untouched(report: RestoreReport) -> bool:
    return not report.files and not report.issues


class _Turn:
    """The turn of a large archive: what is said of it is told at once from then on, and its time begins."""

    def __init__(self, lock: Lock, told: _Together) -> None:
        self._lock = lock
        self._told = told

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        self._told.go_live()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


class _Together:
    """A listener that keeps what is said of one archive together, while others are under way."""

    def __init__(self, listener: RestoreListener) -> None:
        self._listener = listener
        self._is_live = False
        self._began = time.monotonic()
        self._events: list[RestoreEvent] = []
        self._stored = 0

    def __call__(self, event: RestoreEvent) -> None:
        if isinstance(event, BytesRestored):
            self._stored += event.stored
            self._listener(event)
            return
        self._events.append(event)
        if self._is_live or len(self._events) > _EVENTS_KEPT:
            self._tell()

    def go_live(self) -> None:
        """Tell everything at once from now on, which is when it began."""
        self._is_live = True
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def _tell(self) -> None:
        events, self._events = self._events, []
        for event in events:
            self._listener(event)

    def end(self, size: int, report: RestoreReport) -> None:
        """Tell the rest; of the archive's `size` nothing is left to come, whatever became of it."""
        self._listener(BytesRestored(max(0, size - self._stored)))
        self._tell()
        self._listener(RestoreEnded(report))
