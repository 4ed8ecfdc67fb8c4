"""Planning and packing in processes: what travels are plans and the lengths of what stands in the slots."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING

from anyio import Semaphore

from async_backup import worker_process
from async_backup.config import Changed
from async_backup.errors import PackingFailed, SourceError, WorkerDied
from async_backup.processes import open_processes
from async_backup.slots import Slot, Slots, slot_size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.archive.index import Segment
    from async_backup.config import Settings
    from async_backup.processes import Process, Processes
    from async_backup.worker_process import PackedSlot, PackingRules, PlanPart

_TASKS_A_PROCESS = 2
"""One under way and one waiting, so that a process does not idle while its result travels."""


class Plan:
    """The plan of one entry, kept by one packing process."""

    def __init__(self, key: int, process: Process, source: bytes) -> None:
        self._key = key
        self._process = process
        self.source = source

    async def begin(self, entry: bytes, slot: Slot | None, *, hard_links: bool) -> PlanPart:
        """The first part; an archive of one segment comes back packed into `slot`, if there is one.

        Raises SourceError where the entry cannot be read, WorkerDied.
        """
        begin, index = worker_process.begin_plan, slot.index if slot else None
        try:
            return await self._process.call(begin, self._key, self.source, entry, index, hard_links=hard_links)
        except OSError as error:
            raise _unreadable(error) from error

    async def go_on(self) -> PlanPart:
        """The next part; raises SourceError, WorkerDied."""
        try:
            return await self._process.call(worker_process.continue_plan, self._key)
        except worker_process.PlanLostError as error:
            raise WorkerDied("the packing process that kept the plan ended (is memory short?)") from error
        except OSError as error:
            raise _unreadable(error) from error

    async def forget(self) -> None:
        with suppress(WorkerDied):
            await self._process.call(worker_process.forget_plan, self._key)


def _unreadable(error: OSError) -> SourceError:
    return SourceError(f"cannot be read: {error.strerror or error}")


class Workers:
    """Plans and packs in processes. Use `open_workers`."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.slots = processes.slots
        self._turns = Semaphore(len(processes) * _TASKS_A_PROCESS, fast_acquire=True)
        self._keys = count()

    def new_plan(self, source: bytes) -> Plan:
        """A plan, not begun, with the process that has least to do."""
        return Plan(next(self._keys), self._processes.least_busy(), source)

    async def pack(self, source: bytes, job: bytes, slot: Slot) -> PackedSlot:
        """Pack a planned segment into `slot`.

        A process that dies with it is replaced, and the segment tried once more in a process of its own.
        Raises SourceError where the source cannot be opened, PackingFailed where it killed that process too.
        """
        try:
            async with self._turns:
                return await self._processes.least_busy().call(worker_process.pack_job, source, job, slot.index)
        except WorkerDied:
            return await self._pack_alone(source, job, slot)
        except OSError as error:
            raise SourceError(f"{os.fsdecode(source)} cannot be read: {error.strerror or error}") from error

    async def _pack_alone(self, source: bytes, job: bytes, slot: Slot) -> PackedSlot:
        try:
            async with self._processes.one_more() as process:
                return await process.call(worker_process.pack_job, source, job, slot.index)
        except WorkerDied as error:
            raise PackingFailed("packing it ended two packing processes (is memory short?)") from error

    async def compare(self, source: bytes, job: bytes, segment: Segment, before_ns: int) -> bool:
        """Whether a planned segment would be `segment`, see `is_unchanged`; raises SourceError, WorkerDied."""
        try:
            async with self._turns:
                process = self._processes.least_busy()
                return await process.call(worker_process.compare_job, source, job, segment, before_ns)
        except OSError as error:
            raise _unreadable(error) from error

    async def start(self) -> None:
        """Start all processes."""
        await self._processes.start()

    def abort(self) -> None:
        """End all processes now; what they work at fails with WorkerDied."""
        self._processes.abort()


def packing_rules(settings: Settings) -> PackingRules:
    """How a run with these settings makes its archives."""
    return worker_process.PackingRules(
        settings.limits.segment_size,
        settings.level,
        settings.selection,
        settings.hash,
        settings.xattrs,
        ignores_changes=settings.changed is Changed.IGNORE,
    )


@asynccontextmanager
async def open_workers(processes: int, slots: int, rules: PackingRules) -> AsyncIterator[Workers]:
    """Packing processes and slots for as long as the block lasts; both are gone after it, however it ends.

    A process starts with `Workers.start` or with its first task, the sooner of both.
    Raises NoSpace where the slots cannot be reserved, PackingFailed where processes cannot be started.
    """
    shared = Slots(slots, slot_size(rules.segment_size))
    async with open_processes(processes, shared, worker_process.initialize, rules) as opened:
        yield Workers(opened)
