"""An archive with an index: segments are read side by side, compared in several processes, told of in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import Event, create_memory_object_stream

from async_backup.archive.check import DIFFERENCES_KEPT, Pieces
from async_backup.archive.unpack import DamagedSegment
from async_backup.errors import SERVER_GONE, RemoteError
from async_backup.tasks import task_group
from async_backup.verifying.model import FILES_NAMED, Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectSendStream

    from async_backup.archive.check import Checked, Difference
    from async_backup.archive.index import Segment
    from async_backup.archived import IndexedArchive
    from async_backup.slots import Slot
    from async_backup.unpackers import Unpackers
    from async_backup.verifying.hashing import Hasher
    from async_backup.verifying.model import Findings

_BLOCK = 1 << 20


class _Step:
    """A segment on its way: its bytes come first, then what was found in them, or the damage."""

    def __init__(self, number: int, segment: Segment, slot: Slot) -> None:
        self.number = number
        self.segment = segment
        self.slot = slot
        self.data: memoryview | None = None
        self.checked: Checked | None = None
        self.damage = ""
        self.is_read = Event()
        self.is_done = Event()


class SegmentCheck:
    """Checks all segments of one archive, and hashes it to its last byte."""

    def __init__(self, archive: IndexedArchive, unpackers: Unpackers, hasher: Hasher, findings: Findings) -> None:
        self._archive = archive
        self._unpackers = unpackers
        self._hasher = hasher
        self._findings = findings
        self._pieces = Pieces()
        self._slots: set[Slot] = set()

    async def run(self) -> None:
        """Raises ConnectionDropped, Unreachable, WorkerDied; what else goes wrong is found."""
        send, receive = create_memory_object_stream[_Step](self._unpackers.slots.count)
        try:
            async with receive, task_group() as tasks:
                tasks.start_soon(self._begin_all, send, tasks)
                async for step in receive:
                    await self._take(step)
        finally:
            for slot in self._slots:
                slot.release()
        self._note(len(self._archive.segments), None, self._pieces.end(), 0)
        await self._hash_index()

    async def _begin_all(self, send: MemoryObjectSendStream[_Step], tasks: TaskGroup) -> None:
        async with send:
            for number, segment in enumerate(self._archive.segments, 1):
                slot = await self._unpackers.slots.acquire()
                self._slots.add(slot)
                step = _Step(number, segment, slot)
                tasks.start_soon(self._perform, step)
                await send.send(step)

    async def _perform(self, step: _Step) -> None:
        segment = step.segment
        try:
            data = step.slot.data(segment.length)
            await self._archive.reader.read_into(segment.offset, data)
            step.data = data
            step.is_read.set()
            is_last = step.number == len(self._archive.segments)
            step.checked = await self._unpackers.check(step.slot, segment, is_last=is_last)
        except SERVER_GONE:
            raise
        except RemoteError as error:
            step.damage = f"it cannot be read: {error}"
        except DamagedSegment as error:
            step.damage = str(error)
        step.is_read.set()
        step.is_done.set()

    async def _take(self, step: _Step) -> None:
        await step.is_read.wait()
        if step.data is not None:
            await self._hasher.add(step.data)
        else:
            self._hasher.tell(step.segment.length)
        await step.is_done.wait()
        self._slots.remove(step.slot)
        step.slot.release()
        self._note_outcome(step)

    def _note_outcome(self, step: _Step) -> None:
        if step.checked is None:
            self._pieces.lose()
            self._findings.add(self._damaged(step))
            return
        misplaced = self._pieces.take(step.segment, step.checked)
        self._note(step.number, step.segment, [*misplaced, *step.checked.differences], step.checked.more)

    def _damaged(self, step: _Step) -> Finding:
        files, more = _members_of(step.segment)
        where = f"segment {step.number} of {len(self._archive.segments)} at byte {step.segment.offset}"
        reason = f"{where} is damaged: {step.damage}" + ("; in it" if files else "")
        return Finding(Verdict.DAMAGED, reason, step.number, step.segment.offset, files, more)

    def _note(self, number: int, segment: Segment | None, found: Sequence[Difference], more: int) -> None:
        """What differs from the index: one finding for each reason."""
        by_reason: dict[str, list[bytes]] = {}
        for difference in found:
            by_reason.setdefault(difference.reason, []).append(difference.path)
        where = f"segment {number} of {len(self._archive.segments)}"
        where += f" at byte {segment.offset}" if segment else ""
        for reason, paths in by_reason.items():
            named, rest = _first(paths)
            offset = segment.offset if segment else None
            self._findings.add(Finding(Verdict.DAMAGED, f"{where}: {reason}", number, offset, named, rest))
        if more:
            text = f"{where}: {more} differences beyond the first {DIFFERENCES_KEPT}"
            self._findings.note(Verdict.DAMAGED, text)

    async def _hash_index(self) -> None:
        """Index and footer: their checksums were right when they were read, but the digest counts them too."""
        size = self._archive.reader.size
        for start in range(self._archive.footer.index_offset, size, _BLOCK):
            length = min(_BLOCK, size - start)
            try:
                await self._hasher.add(await self._archive.reader.read(start, length))
            except SERVER_GONE:
                raise
            except RemoteError as error:
                self._hasher.tell(length)
                self._findings.note(Verdict.DAMAGED, f"its index cannot be read: {error}")


def _members_of(segment: Segment) -> tuple[tuple[bytes, ...], int]:
    """The first members that a damaged segment costs, and how many more there are."""
    try:
        return _first([member.path for member in segment.listing()])
    except ValueError:
        return (), segment.members


def _first(paths: Sequence[bytes]) -> tuple[tuple[bytes, ...], int]:
    named = tuple(path for path in paths if path)[:FILES_NAMED]
    return named, sum(1 for path in paths if path) - len(named)
