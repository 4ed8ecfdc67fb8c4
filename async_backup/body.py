"""The bytes of one archive on their way: packed out of order, placed and hashed in order, sent side by side."""

from __future__ import annotations

import hashlib
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiofiles import tempfile
from anyio import CancelScope, Event, create_memory_object_stream, to_thread

from async_backup.archive.index import IndexWriter, Segment
from async_backup.archive.member import ProblemKind
from async_backup.config import Changed
from async_backup.errors import NoSpace, SourceChanged, SourceError, SourceMoved
from async_backup.events import FileProblem, SegmentPacked
from async_backup.model import Problems
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiofiles.threadpool.binary import AsyncBufferedIOBase as Spool
    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectSendStream

    from async_backup.archive.member import Problem
    from async_backup.branch import Fan
    from async_backup.copying import ArchiveFile
    from async_backup.events import Listener
    from async_backup.model import Entry
    from async_backup.slots import Slot
    from async_backup.worker_process import PackedSlot, PlanPart, WholeArchive
    from async_backup.workers import Plan, Workers

INDEX_IN_MEMORY = 4 << 20
"""Bytes of an index that stay in memory; a longer one waits in a nameless local file."""


SMALL = 256 << 10
"""Bytes of an archive that waits for the server without a slot: it costs a round trip or two, and hardly memory."""


@dataclass(frozen=True, slots=True)
class Body:
    """What was written: sizes in bytes, the digest in hexadecimal."""

    size: int
    raw_size: int
    members: int
    digest: str
    problems: Problems
    same_as: bytes = b""
    """The archive at the destination of which it is a further name, if it was not written."""


class _Segment:
    """A segment from the slot that it will fill until the server has it."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self._ready = Event()
        self._packed: PackedSlot | None = None

    def fill(self, packed: PackedSlot) -> None:
        self._packed = packed
        self._ready.set()

    async def packed(self) -> PackedSlot:
        await self._ready.wait()
        if self._packed is None:
            raise RuntimeError("a segment is ready without having been packed")
        return self._packed


class BodyWriter:
    """Writes the archive of one entry into a new file."""

    def __init__(
        self,
        entry: Entry,
        file: ArchiveFile | Fan,
        workers: Workers,
        listener: Listener,
        algorithm: str,
        *,
        changed: Changed = Changed.WARN,
        xattrs: bool = True,
    ) -> None:
        self._entry = entry
        self._file = file
        self._workers = workers
        self._listener = listener
        self._changed = changed
        self._xattrs = xattrs
        self._digest = hashlib.new(algorithm, usedforsecurity=False)
        self._index = IndexWriter()
        self._slots: set[Slot] = set()
        self._size = 0
        self._raw_size = 0
        self._members = 0
        self._problems = Problems()
        self._last_problem: Problem | None = None

    async def write(self, *, hard_links: bool, packed: Callable[[], None] = lambda: None) -> Body:
        """Plan, pack and send everything, index and footer last, and finish the file.

        `packed` is called when a small archive is ready and lies in no slot any more: it only waits for answers then.
        Raises SourceError, SourceMoved, SourceChanged, WorkerDied, PackingFailed, NoSpace, or RemoteError from the
        file.
        """
        plan = self._workers.new_plan(os.fsencode(self._entry.source))
        try:
            slot = await self._acquire()
            part = await plan.begin(self._entry.name, slot, hard_links=hard_links)
            self._note(part.problems)
            if part.whole is not None:
                return await self._write_whole(slot, part.whole, packed)
            async with _open_spool() as spool:
                await self._write_segments(plan, part, slot, spool)
            self._refuse_nothing(self._members)
            await self._file.finish()
            return Body(self._size, self._raw_size, self._members, self._digest.hexdigest(), self._problems)
        except BaseException:
            with CancelScope(shield=True):
                await plan.forget()
            raise
        finally:
            for slot in self._slots:
                slot.release()

    async def _write_whole(self, slot: Slot, whole: WholeArchive, packed: Callable[[], None]) -> Body:
        """An archive of one segment has come ready from the packing process, with its digest."""
        self._check(whole)
        self._refuse_nothing(whole.members)
        self._listener(SegmentPacked(self._entry, whole.raw_length, whole.length))
        data: memoryview | bytes = slot.data(whole.length)
        if whole.length <= SMALL:
            data = bytes(data)
            self._release(slot)
            packed()
        await self._file.write_whole(data)
        return Body(whole.length, whole.raw_length, whole.members, whole.digest, self._problems)

    async def _write_segments(self, plan: Plan, part: PlanPart, slot: Slot, spool: Spool) -> None:
        """The index leaves as soon as the last segment has its place, while segments are still on their way."""
        send, receive = create_memory_object_stream[_Segment](self._workers.slots.count)
        async with receive, task_group() as tasks:
            tasks.start_soon(self._pack_all, plan, part, slot, send, tasks)
            async for segment in receive:
                packed = await segment.packed()
                await self._place(segment.slot, packed, tasks)
                await self._add_to_index(packed, spool)
            await self._write_index(spool)

    async def _pack_all(
        self, plan: Plan, part: PlanPart, slot: Slot, send: MemoryObjectSendStream[_Segment], tasks: TaskGroup
    ) -> None:
        """Have segments packed as slots become free; they are handed on in the order of the archive."""
        unused = [slot]
        async with send:
            while True:
                for job in part.jobs:
                    segment = _Segment(unused.pop() if unused else await self._acquire())
                    await send.send(segment)
                    tasks.start_soon(self._pack, plan.source, job, segment)
                if part.is_complete:
                    return
                part = await plan.go_on()
                self._note(part.problems)

    async def _acquire(self) -> Slot:
        slot = await self._workers.slots.acquire()
        self._slots.add(slot)
        return slot

    def _release(self, slot: Slot) -> None:
        self._slots.remove(slot)
        slot.release()

    async def _pack(self, source: bytes, job: bytes, segment: _Segment) -> None:
        segment.fill(await self._workers.pack(source, job, segment.slot))

    async def _place(self, slot: Slot, packed: PackedSlot, tasks: TaskGroup) -> None:
        """Give a segment its offset, hash it, and have it sent meanwhile."""
        self._check(packed)
        data = slot.data(packed.length)
        hashed = Event()
        tasks.start_soon(self._send, slot, self._size, data, packed.sha256, hashed)
        self._listener(SegmentPacked(self._entry, packed.raw_length, packed.length))
        await to_thread.run_sync(self._digest.update, data)
        hashed.set()

    async def _send(self, slot: Slot, offset: int, data: memoryview, sha256: bytes, hashed: Event) -> None:
        await self._file.write_segment(offset, data, sha256)
        await hashed.wait()
        self._release(slot)

    async def _add_to_index(self, packed: PackedSlot, spool: Spool) -> None:
        segment = Segment(self._size, packed.length, packed.raw_length, packed.sha256, packed.members, packed.records)
        self._size += packed.length
        self._raw_size += packed.raw_length
        self._members += packed.members
        await _spool(spool, self._index.add(segment))

    async def _write_index(self, spool: Spool) -> None:
        is_incomplete = self._problems.losses > 0
        end = self._index.finish(self._size, is_incomplete=is_incomplete, has_no_xattrs=not self._xattrs)
        await _spool(spool, end)
        await spool.seek(0)
        while part := await spool.read(INDEX_IN_MEMORY):
            await to_thread.run_sync(self._digest.update, part)
            await self._file.write(self._size, part)
            self._size += len(part)

    def _check(self, packed: PackedSlot | WholeArchive) -> None:
        self._note(packed.problems)
        if packed.lost_leader:
            raise SourceMoved("a file with several names changed while it was read")

    def _refuse_nothing(self, members: int) -> None:
        """An archive without any member would only look like a backup."""
        if not members and self._problems.losses:
            raise SourceError(f"cannot be read: {self._problems.first[0].reason}")

    def _note(self, problems: list[Problem]) -> None:
        """Report problems; the pieces of a large file say the same one after another, which counts once."""
        for problem in problems:
            if self._last_problem is None or problem[:2] != self._last_problem[:2]:
                self._report(problem)
            self._last_problem = problem

    def _report(self, problem: Problem) -> None:
        if problem.kind in {ProblemKind.CHANGED, ProblemKind.CUT} and self._changed is Changed.FAIL:
            raise SourceChanged(
                f"{os.fsdecode(problem.path)}: {problem.reason}; "
                "back up a snapshot, or take the file as it comes with --changed warn"
            )
        is_loss = problem.is_loss(ignores_changes=self._changed is Changed.IGNORE)
        self._problems = self._problems.plus(problem, is_loss=is_loss)
        self._listener(FileProblem(self._entry, problem, is_loss))


@asynccontextmanager
async def _open_spool() -> AsyncIterator[Spool]:
    """Shielded at both ends: a cancelled open or close would leave the file to the garbage collector."""
    with CancelScope(shield=True):
        spool = await tempfile.SpooledTemporaryFile(max_size=INDEX_IN_MEMORY)
    try:
        yield spool
    finally:
        with CancelScope(shield=True):
            await spool.close()


async def _spool(spool: Spool, data: bytes) -> None:
    try:
        if data:
            await spool.write(data)
    except OSError as error:
        raise NoSpace(f"the index cannot be kept until the end ({error.strerror}); make room in TMPDIR") from error
