"""Removing what a plan says: the archive first, then what tells of it, and at the end the directories are flushed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from async_backup.checksum_files import checksum_name
from async_backup.errors import SERVER_GONE, RemoteError
from async_backup.pruning.model import ArchiveRemoved, OrphanRemoved, PruneReport, RemovalFailed
from async_backup.pruning.orphans import is_gone
from async_backup.remote.places import path_in
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from anyio import Event

    from async_backup.pruning.model import ArchiveJudged, PruneListener, PrunePlan
    from async_backup.pruning.orphans import Orphan
    from async_backup.remote.base import RemoteStore

_AT_ONCE = 16


class Removal:
    """Removes files, counts them, and tells the listener. What fails is named, and the others go on."""

    def __init__(self, store: RemoteStore, listener: PruneListener, stop: Event) -> None:
        self._store = store
        self._listener = listener
        self._stop = stop
        self._directories: set[bytes] = set()
        self._is_server_gone = False
        self._is_interrupted = False
        self._removed = 0
        self._freed = 0
        self._orphans = 0
        self._failed = 0

    async def run(self, plan: PrunePlan) -> None:
        """Remove what is doomed; ends early when it is stopped or the server is gone, never within an archive."""
        steps = [
            *(self._step(judged) for judged in plan.doomed),
            *(self._orphan_step(orphan) for orphan in plan.orphans),
        ]
        remaining = iter(steps)
        async with task_group() as tasks:
            for _ in range(min(_AT_ONCE, len(steps))):
                tasks.start_soon(self._work, remaining)
        self._is_interrupted = self._stop.is_set() and next(remaining, None) is not None
        for directory in sorted(self._directories):
            await self._store.sync_directory(directory)

    def _step(self, judged: ArchiveJudged) -> Callable[[], Awaitable[None]]:
        return lambda: self._remove_archive(judged)

    def _orphan_step(self, orphan: Orphan) -> Callable[[], Awaitable[None]]:
        return lambda: self._remove_orphan(orphan)

    async def _work(self, remaining: Iterator[Callable[[], Awaitable[None]]]) -> None:
        while not self._stop.is_set() and not self._is_server_gone:
            step = next(remaining, None)
            if step is None:
                return
            await step()

    async def _remove_archive(self, judged: ArchiveJudged) -> None:
        """A crash in the middle leaves a checksum file without an archive, which the next prune finds."""
        if not await self._remove(judged.path):
            return
        self._removed += 1
        self._freed += judged.size
        self._listener(ArchiveRemoved(judged.path, judged.size))
        for algorithm in judged.checksums:
            await self._remove(checksum_name(judged.path, algorithm))

    async def _remove_orphan(self, orphan: Orphan) -> None:
        try:
            is_still_one = await is_gone(self._store, orphan.archive)
        except RemoteError as error:
            self._note_failure(orphan.path, error)
            return
        if is_still_one and await self._remove(orphan.path):
            self._orphans += 1
            self._listener(OrphanRemoved(orphan.path))

    async def _remove(self, path: bytes) -> bool:
        whole = path_in(self._store, path)
        try:
            await self._store.remove(whole)
        except RemoteError as error:
            self._note_failure(path, error)
            return False
        self._directories.add(os.path.dirname(whole))
        return True

    def _note_failure(self, path: bytes, error: RemoteError) -> None:
        self._failed += 1
        self._is_server_gone |= isinstance(error, SERVER_GONE)
        self._listener(RemovalFailed(path, error))

    def report(self, plan: PrunePlan, *, is_dry: bool) -> PruneReport:
        """What became of the plan."""
        doomed = plan.doomed
        return PruneReport(
            archives=len(plan.judged),
            unjudged=len(plan.unjudged),
            future=plan.future,
            unreadable=plan.unreadable,
            doomed=len(doomed),
            doomed_size=sum(judged.size for judged in doomed),
            removed=self._removed,
            freed=self._freed,
            orphans_removed=self._orphans,
            failed=self._failed,
            dry_run=is_dry,
            is_interrupted=self._is_interrupted,
        )
