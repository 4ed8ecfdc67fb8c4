"""Entries that have not changed: their new archives are further names of those that are there already."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from itertools import islice
from typing import TYPE_CHECKING

from anyio import CancelScope

from async_backup.archived import Turns, read_archive
from async_backup.body import SMALL, Body
from async_backup.endings import read_checksum_file
from async_backup.errors import (
    SERVER_GONE,
    BackupError,
    DamagedArchive,
    RemoteError,
    RemoteFull,
    RemoteNotFound,
    SourceError,
    WorkerDied,
)
from async_backup.model import Problems
from async_backup.remote.places import open_reader
from async_backup.tasks import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from async_backup.archive.index import Segment
    from async_backup.archived import IndexedArchive
    from async_backup.catalog import StoredArchive
    from async_backup.model import Entry
    from async_backup.transfer import Transfer, Uploaded
    from async_backup.upload import Uploader
    from async_backup.worker_process import PlanPart
    from async_backup.workers import Plan, Workers

MARGIN = 60.0
"""Seconds before an archive's time from which on a change of a file could be followed by one that nothing shows.

The clocks of file systems go in steps of up to 2 s. And a page that was written through a mapping may be written again
without a new time until it has gone to the disk, which takes Linux up to 35 s (vm.dirty_expire_centisecs).
"""


class LinkingUploader:
    """An uploader that sends only what has changed since the newest verified archive of its entry at a destination.

    What has not is linked to there, and committed as if it had been sent: once the server's digest equals the recorded
    one. Small archives are always sent, which takes no longer.
    """

    def __init__(self, uploader: Uploader, workers: Workers, *, algorithm: str, xattrs: bool) -> None:
        self._uploader = uploader
        self._workers = workers
        self._algorithm = algorithm
        self._xattrs = xattrs
        self._turns = Turns()

    async def upload(
        self,
        entry: Entry,
        attempt: int,
        transfers: Sequence[Transfer],
        *,
        hard_links: bool,
        packed: Callable[[], None] = lambda: None,
    ) -> list[Uploaded | BackupError]:
        """See `Uploader`. What was tried before is sent."""
        found: dict[Transfer, Uploaded | BackupError] = {}
        async with AsyncExitStack() as discarded:
            for transfer in transfers if attempt == 1 else ():
                if linked := await self._linked(entry, transfer):
                    await discarded.enter_async_context(transfer.discarded_on_error(linked.temporary))
                    found[transfer] = linked
            rest = [transfer for transfer in transfers if transfer not in found]
            if rest:
                sent = await self._uploader.upload(entry, attempt, rest, hard_links=hard_links, packed=packed)
                found.update(zip(rest, sent, strict=True))
        return [found[transfer] for transfer in transfers]

    async def _linked(self, entry: Entry, transfer: Transfer) -> Uploaded | None:
        previous = transfer.linkable(entry)
        if previous is None or previous.size <= SMALL:
            return None
        try:
            body = await self._unchanged(entry, transfer, previous)
        except (DamagedArchive, RemoteError):
            return None  # what is wrong with the server shows when the entry is sent
        return await self._link(entry, transfer, previous, body) if body else None

    async def _link(self, entry: Entry, transfer: Transfer, previous: StoredArchive, body: Body) -> Uploaded | None:
        try:
            return await transfer.link(entry, previous, body)
        except (*SERVER_GONE, RemoteNotFound, RemoteFull):
            return None
        except RemoteError as error:
            transfer.refuse("links", error)
            return None

    async def _unchanged(self, entry: Entry, transfer: Transfer, previous: StoredArchive) -> Body | None:
        """The archive that was made of the entry before, if it would be the same now; raises RemoteError."""
        recorded = await read_checksum_file(transfer.store, previous.path, self._algorithm)
        if recorded.digest is None:
            return None
        async with self._turns.turn(previous.size), open_reader(transfer.store, previous.path) as reader:
            archive = await read_archive(reader, previous.path)
            footer = archive.footer
            if footer.is_incomplete or footer.has_no_xattrs is self._xattrs or previous.when is None:
                return None
            if not await self._is_same(entry, archive, _before(previous.when, previous.mtime)):
                return None
        sizes = reader.size, footer.raw_length, footer.members
        return Body(*sizes, recorded.digest, Problems(), same_as=previous.path)

    async def _is_same(self, entry: Entry, archive: IndexedArchive, before: int) -> bool:
        """Whether the entry would be packed as it is in the archive; what cannot be told now has changed."""
        plan = self._workers.new_plan(os.fsencode(entry.source))
        try:
            part = await plan.begin(entry.name, None, hard_links=True)
            return await self._is_as_planned(plan, part, iter(archive.segments), before)
        except (SourceError, WorkerDied):
            return False
        finally:
            with CancelScope(shield=True):
                await plan.forget()

    async def _is_as_planned(self, plan: Plan, part: PlanPart, segments: Iterator[Segment], before: int) -> bool:
        async def compare(pair: tuple[bytes, Segment]) -> bool:
            return await self._workers.compare(plan.source, *pair, before)

        while not any(problem.kind.is_loss for problem in part.problems):
            told = list(islice(segments, len(part.jobs)))
            if len(told) < len(part.jobs):
                return False
            if not all(await side_by_side(compare, list(zip(part.jobs, told, strict=True)), at_once=len(told) or 1)):
                return False
            if part.is_complete:
                return next(segments, None) is None
            part = await plan.go_on()
        return False


def _before(when: datetime, mtime: float) -> int:
    """The moment, in nanoseconds, before which files were at rest for an archive with that time in its name.

    The name is read in today's time zone, which may be another one: the server's time, if it tells one, is the most.
    """
    made = min(when.timestamp(), mtime) if mtime else when.timestamp()
    return int((made - MARGIN) * 1e9)
