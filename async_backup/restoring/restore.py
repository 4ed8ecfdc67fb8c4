"""The public call that restores: find the archive, choose its segments, unpack them, finish what had to wait."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from anyio import CancelScope, Event, to_thread

from async_backup import unpack_process
from async_backup.archive_names import NameParser
from async_backup.archived import NoIndex, read_archive
from async_backup.catalog import read_catalog
from async_backup.errors import BackupError, DamagedArchive, RestoreError
from async_backup.events import ignore
from async_backup.heap import keep_freed_memory
from async_backup.processes import warmed_up
from async_backup.remote.places import SMALL, open_listed
from async_backup.remote.store import open_archives
from async_backup.restoring.foreseen import look_ahead, not_here
from async_backup.restoring.indexed import IndexedRestore
from async_backup.restoring.model import Progress, RestoreEnded, RestoreStarted
from async_backup.restoring.rules import rules_of
from async_backup.restoring.streamed import StreamedRestore
from async_backup.restoring.target import check_empty, prepare
from async_backup.stopping import unless_stopped
from async_backup.unpack.late import LateSpool
from async_backup.unpack.members import Unpacker
from async_backup.unpack.rules import Overwrite, UnpackRules
from async_backup.unpack.segment import unpacked_by
from async_backup.unpackers import open_unpackers, open_unpackers_here

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from async_backup.archived import IndexedArchive
    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteReader, RemoteStore
    from async_backup.restoring.model import RestoreListener, RestoreReport, RestoreSettings
    from async_backup.unpack.segment import Unpacked
    from async_backup.unpackers import Unpackers


_LITTLE = 1 << 20
"""Raw bytes that are unpacked in this process."""


class OpenUnpackers(Protocol):
    """What opens unpackers: `open_unpackers`, or a fake."""

    def __call__(
        self, processes: int, channels: int, longest: int, rules: UnpackRules
    ) -> AbstractAsyncContextManager[Unpackers]: ...


async def restore(
    settings: RestoreSettings, listener: RestoreListener = ignore, *, stop: Event | None = None
) -> RestoreReport:
    """Restore an archive, or some paths of it; returns what became of it.

    Setting `stop` ends it early. Raises BackupError where nothing was written: no such archive or path, files in the
    way, no connection. Starts processes as `backup` does.
    """
    keep_freed_memory()
    stop = stop or Event()
    running = Restore(settings, listener, open_unpackers)
    began = time.monotonic()
    await unless_stopped(stop, running.connect_and_run)
    report = running.report(time.monotonic() - began, interrupted=stop.is_set())
    listener(RestoreEnded(report))
    return report


class Restore:
    """One restore under way, from any store and with unpackers of any kind."""

    def __init__(
        self,
        settings: RestoreSettings,
        listener: RestoreListener,
        unpackers: OpenUnpackers,
        *,
        here: OpenUnpackers = open_unpackers_here,
        may_share: bool = False,
        turn: AbstractAsyncContextManager[object] | None = None,
    ) -> None:
        """`here` are unpackers for little. `may_share` says that the target was empty before other restores to it.

        `turn` is what has to be entered, once, for all that needs much memory or processes.
        """
        self._settings = settings
        self._here = here
        self._turn = turn or nullcontext()
        self._has_turn = False
        self._may_share = may_share
        self._listener = listener
        self._open_unpackers = unpackers
        self._progress = Progress(listener)
        self._path = self._entry = settings.archive
        self._begun: RestoreStarted | None = None
        self._is_lost: Callable[[bytes], bool] = _is_there
        self._error: BackupError | None = None

    def report(self, seconds: float, *, interrupted: bool = False) -> RestoreReport:
        """What became of it so far."""
        report = self._progress.report(self._path, seconds, self._error, interrupted=interrupted)
        return replace(report, is_incomplete=self._begun is not None and self._begun.is_incomplete)

    async def connect_and_run(self) -> None:
        """Restore from the server; the processes get ready while the connection is made."""
        settings = self._settings
        opened = open_archives(settings.destination, settings.ssh, settings.limits)
        async with warmed_up(unpack_process.__name__), opened as store:
            await self.run(store)

    async def run(self, store: RemoteStore, archive: StoredArchive | None = None) -> None:
        """Restore `archive`, or else find the one that the settings name.

        Raises BackupError where nothing was written, and keeps for the report what came later.
        """
        try:
            await self._restore(store, archive or await self._find(store))
        except BackupError as error:
            if self._begun is None:
                raise
            self._error = error
        except OSError as error:
            self._error = not_here(error)
            if self._begun is None:
                raise self._error from error

    async def _find(self, store: RemoteStore) -> StoredArchive:
        catalog = await read_catalog(store, NameParser(self._settings.timestamp_formats))
        return catalog.find(self._settings.archive)

    async def _restore(self, store: RemoteStore, archive: StoredArchive) -> None:
        self._path, self._entry = archive.path, archive.entry
        async with open_listed(store, archive.path, archive.size) as reader:
            rules = rules_of(self._settings)
            with LateSpool() as late:
                try:
                    async with self._in_turn() if reader.size > SMALL else nullcontext():
                        await self._unpack(reader, rules, late)
                finally:
                    if self._begun is not None:
                        with CancelScope(shield=True):
                            await self._finish(rules, late)

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """The turn of this archive among others, which it keeps until it has been unpacked."""
        if self._has_turn:
            yield
            return
        async with self._turn:
            self._has_turn = True
            yield

    async def _unpack(self, reader: RemoteReader, rules: UnpackRules, late: LateSpool) -> None:
        try:
            archive = await read_archive(reader, self._path)
        except NoIndex as error:
            await self._unpack_stream(reader, rules, late, str(error.__cause__ or error))
        except DamagedArchive as error:
            if not self._settings.salvage:
                raise DamagedArchive(f"{error}; --salvage reads it from its beginning instead") from error
            await self._unpack_stream(reader, rules, late, str(error))
        else:
            async with nullcontext() if archive.footer.raw_length <= _LITTLE else self._in_turn():
                await self._unpack_indexed(archive, rules, late)

    async def _unpack_indexed(self, archive: IndexedArchive, rules: UnpackRules, late: LateSpool) -> None:
        settings, limits = self._settings, self._settings.limits
        jobs = await to_thread.run_sync(look_ahead, archive, settings)
        await to_thread.run_sync(prepare, settings.target)
        size = sum(job.segment.length for job in jobs)
        longest = max((job.segment.length for job in jobs), default=1)
        number = max(len(jobs), 1)
        processes, channels = min(limits.processes, number), min(limits.connections * limits.channels, number)
        is_little = sum(job.segment.raw_length for job in jobs) <= _LITTLE
        opener = self._here if is_little else self._open_unpackers
        async with opener(processes, channels, longest, rules) as unpackers:
            footer = archive.footer
            self._begin(
                RestoreStarted(
                    self._path, archive.reader.size, footer.members, size, is_incomplete=footer.is_incomplete
                )
            )
            restoring = IndexedRestore(
                archive,
                unpackers,
                self._progress,
                late,
                salvage=settings.salvage,
                is_target_free=rules.overwrite is Overwrite.NEVER,
            )
            self._is_lost = restoring.is_lost
            await restoring.run(jobs)

    async def _unpack_stream(self, reader: RemoteReader, rules: UnpackRules, late: LateSpool, reason: str) -> None:
        await to_thread.run_sync(prepare, self._settings.target)
        if rules.overwrite is Overwrite.NEVER and not self._may_share:
            await to_thread.run_sync(check_empty, self._settings.target)
        entry = os.path.basename(self._entry)
        restoring = StreamedRestore(reader, entry, rules, self._progress, late, salvage=self._settings.salvage)
        async with self._in_turn():
            self._begin(RestoreStarted(self._path, reader.size, None, reader.size, reason))
            self._is_lost = restoring.is_lost
            await restoring.run(self._settings.wish)

    def _begin(self, event: RestoreStarted) -> None:
        self._begun = event
        self._listener(event)

    async def _finish(self, rules: UnpackRules, late: LateSpool) -> None:
        """Links, and the metadata of directories, also where the restore ended early."""

        def finish() -> None:
            with Unpacker(rules) as unpacker:
                try:
                    late.finish(unpacker, self._is_lost)
                finally:
                    done.append(unpacked_by(unpacker))

        done: list[Unpacked] = []
        try:
            await to_thread.run_sync(finish)
        except OSError as error:
            raise RestoreError(f"links and directories cannot be finished: {error.strerror or error}") from error
        finally:
            for unpacked in done:
                self._progress.add(unpacked)


def _is_there(path: bytes) -> bool:
    del path
    return False
