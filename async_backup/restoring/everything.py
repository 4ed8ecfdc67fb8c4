"""The public call that restores every entry: the newest archive of each, one after another, over one connection."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from anyio import Event, to_thread

from async_backup import unpack_process
from async_backup.archive_names import NameParser
from async_backup.catalog import read_catalog
from async_backup.errors import SERVER_GONE, BackupError, RestoreError
from async_backup.events import ignore
from async_backup.heap import keep_freed_memory
from async_backup.processes import warmed_up
from async_backup.remote.store import open_archives
from async_backup.restoring.model import AllEnded, AllReport, AllStarted, RestoreEnded
from async_backup.restoring.restore import Restore
from async_backup.restoring.target import is_empty
from async_backup.stopping import unless_stopped
from async_backup.unpackers import open_unpackers

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteStore
    from async_backup.restoring.model import RestoreListener, RestoreReport, RestoreSettings
    from async_backup.restoring.restore import OpenUnpackers


async def restore_all(
    settings: RestoreSettings, as_of: datetime | None, listener: RestoreListener = ignore, *, stop: Event | None = None
) -> AllReport:
    """Restore the newest archive of every entry, or the newest before `as_of`; an error costs no other archive.

    What comes from a directory of the destination, as the archives of one of several sources do, lands in a directory
    of that name. The archive and the paths that `settings` name do not count. Setting `stop` ends it early. Raises
    BackupError where there is no such archive, or no connection. Starts processes as `backup` does.
    """
    keep_freed_memory()
    stop = stop or Event()
    running = RestoreAll(settings, as_of, listener, open_unpackers, stop)
    began = time.monotonic()
    await unless_stopped(stop, running.connect_and_run)
    report = running.report(time.monotonic() - began)
    listener(AllEnded(report))
    return report


class RestoreAll:
    """Restores the archives of a store in turn, with unpackers of any kind."""

    def __init__(
        self,
        settings: RestoreSettings,
        as_of: datetime | None,
        listener: RestoreListener,
        unpackers: OpenUnpackers,
        stop: Event,
    ) -> None:
        self._settings = settings
        self._as_of = as_of
        self._listener = listener
        self._unpackers = unpackers
        self._stop = stop
        self._is_empty = False
        self._archives: list[StoredArchive] = []
        self._reports: list[RestoreReport] = []

    def report(self, seconds: float) -> AllReport:
        """What became of all so far."""
        left = tuple(archive.path for archive in self._archives[len(self._reports) :])
        return AllReport(tuple(self._reports), left, self._stop.is_set(), seconds)

    async def connect_and_run(self) -> None:
        """Restore from the server; what starts processes gets ready while the connection is made."""
        settings = self._settings
        opened = open_archives(settings.destination, settings.ssh, settings.limits)
        async with warmed_up(unpack_process.__name__), opened as store:
            await self.run(store)

    async def run(self, store: RemoteStore) -> None:
        """Restore; raises BackupError where there is nothing. Without a server the rest is left."""
        catalog = await read_catalog(store, NameParser(self._settings.timestamp_formats))
        self._archives = catalog.newest(self._as_of)
        self._listener(AllStarted(len(self._archives), sum(archive.size for archive in self._archives)))
        with suppress(OSError):  # what is wrong with it is said of each archive
            self._is_empty = await to_thread.run_sync(is_empty, self._settings.target)
        for archive in self._archives:
            report = await self._restore(store, archive)
            if isinstance(report.error, SERVER_GONE):
                return

    async def _restore(self, store: RemoteStore, archive: StoredArchive) -> RestoreReport:
        directory = archive.path.rpartition(b"/")[0]
        target = self._settings.target / os.fsdecode(directory)
        settings = replace(self._settings, archive=archive.path, paths=(), target=target)
        running = Restore(settings, self._listener, self._unpackers, may_share=self._is_empty)
        error, began = None, time.monotonic()
        try:
            if directory:
                self._check(directory, target)
            await running.run(store, archive.path)
        except BackupError as found:
            error = found  # nothing was written
        finally:
            report = running.report(time.monotonic() - began, interrupted=self._stop.is_set())
            report = replace(report, error=report.error or error)
            self._reports.append(report)
            self._listener(RestoreEnded(report))
        return report

    def _check(self, directory: bytes, target: Path) -> None:
        """The directory of a source is one of its own, and not what another archive or a link has put there."""
        if any(archive.entry == directory for archive in self._archives):
            raise RestoreError(f"{target} is where the entry {os.fsdecode(directory)} goes; restore it by itself")
        if target.is_symlink():
            raise RestoreError(f"{target} is a symbolic link, and nothing is written through one")
