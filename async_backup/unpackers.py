"""Restoring in processes: the parent fills slots with segments, and hears what became of them."""

from __future__ import annotations

from contextlib import asynccontextmanager, closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from anyio import Lock, to_thread

from async_backup import unpack_process
from async_backup.errors import WorkerDied
from async_backup.processes import open_processes
from async_backup.slots import OwnSlots, Slots
from async_backup.unpack_process import Stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from async_backup.archive.check import Checked
    from async_backup.archive.index import Segment
    from async_backup.processes import Processes
    from async_backup.slots import Slot
    from async_backup.unpack.members import OpenFile
    from async_backup.unpack.rules import Issue, UnpackRules
    from async_backup.unpack.segment import Unpacked, Wanted

_T = TypeVar("_T")

_SLOTS_A_PROCESS = 2
_PAGE = 4096


class Unpackers:
    """Checks and restores segments in processes. Use `open_unpackers`; every method raises WorkerDied."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.slots = processes.slots

    async def members(self, slot: Slot, segment: Segment, wanted: Wanted | None) -> Unpacked:
        """Restore the members of the segment in `slot`; raises DamagedSegment."""
        job = partial(unpack_process.restore_members, _stored(slot, segment), wanted)
        return await self._call(job, again=partial(job, is_again=True))

    async def salvage(self, slot: Slot, segment: Segment, wanted: Wanted | None) -> tuple[Unpacked, frozenset[int]]:
        """Restore what is left of the members of a damaged segment, with the offsets of those that are there."""
        return await self._call(partial(unpack_process.salvage_members, slot.index, segment, wanted))

    async def piece(
        self, slot: Slot, segment: Segment, file: OpenFile, extents: Sequence[tuple[int, int]]
    ) -> list[Issue]:
        """Write the segment in `slot` into a large file, at `extents` (offset, length); raises DamagedSegment."""
        return await self._call(partial(unpack_process.restore_piece, _stored(slot, segment), file, extents))

    async def check(self, slot: Slot, segment: Segment, *, is_last: bool) -> Checked:
        """Compare the segment in `slot` with what the index tells of it; raises DamagedSegment."""
        return await self._call(partial(unpack_process.check_segment, slot.index, segment, is_last=is_last))

    async def finish(self, file: OpenFile, *, is_kept: bool) -> Unpacked:
        """Give a large file its name, or remove it."""
        return await self._call(partial(unpack_process.finish_file, file, is_kept=is_kept))

    async def _call(self, job: Callable[[], _T], again: Callable[[], _T] | None = None) -> _T:
        """Where a process dies at a job, another one of its own tries once more, or does `again` instead."""
        try:
            return await self._processes.least_busy().call(job)
        except WorkerDied:
            async with self._processes.one_more() as process:
                return await process.call(again or job)


class UnpackersHere(Unpackers):
    """Unpackers in threads of this process, one at a time."""

    def __init__(self, slots: Slots, state: unpack_process.State) -> None:
        self.slots = slots
        self._state = state
        self._turn = Lock(fast_acquire=True)

    async def _call(self, job: Callable[[], _T], again: Callable[[], _T] | None = None) -> _T:
        del again
        async with self._turn:
            unpack_process.current.set(self._state)
            return await to_thread.run_sync(job)


def _stored(slot: Slot, segment: Segment) -> Stored:
    return Stored(slot.index, segment.length, segment.raw_length, segment.sha256)


@asynccontextmanager
async def open_unpackers(
    processes: int, channels: int, longest: int, rules: UnpackRules | None
) -> AsyncIterator[Unpackers]:
    """Processes, and slots for segments of up to `longest` bytes: two a process and one a channel.

    Raises NoSpace where the slots cannot be reserved, PackingFailed where processes cannot be started.
    """
    size = -(-longest // _PAGE) * _PAGE
    slots = Slots(_SLOTS_A_PROCESS * processes + channels, size, are_filled_here=True)
    async with open_processes(processes, slots, unpack_process.initialize, rules) as opened:
        yield Unpackers(opened)


@asynccontextmanager
async def open_unpackers_here(
    processes: int, channels: int, longest: int, rules: UnpackRules | None
) -> AsyncIterator[Unpackers]:
    """The same without processes: for little, which a thread has restored before a process has started."""
    del processes, channels
    slots = OwnSlots(_SLOTS_A_PROCESS, max(longest, 1))
    with closing(slots), closing(unpack_process.State(slots.memory, slots.size, rules)) as state:
        yield UnpackersHere(slots, state)
