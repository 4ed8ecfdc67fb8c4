"""The packing processes and the slots in shared memory that carry what they packed, as one async resource.

Each process has an executor of its own: a plan stays with the process that began it, and the death of one
process breaks nothing but its own tasks.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from asyncio import wrap_future
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from mmap import PROT_READ, mmap
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from anyio import CancelScope, Semaphore, to_thread

from async_backup import worker_process
from async_backup.errors import NoSpace, PackingFailed, SourceError, WorkerDied
from async_backup.tasks import task_group
from async_backup.worker_process import PackingRules, SharedDescriptor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from concurrent.futures import Future

    from async_backup.worker_process import PackedSlot, PlanPart

_P = ParamSpec("_P")
_T = TypeVar("_T")

_TASKS_A_PROCESS = 2
"""One under way and one waiting, so that a process does not idle while its result travels."""

_HEADER_ROOM = 256 << 10
"""Bytes of a slot beyond the segment and its growth: headers with long paths, and gzip's own."""


class Slot:
    """A piece of shared memory that holds one packed segment, lent until `release`."""

    def __init__(self, slots: Slots, index: int, view: memoryview) -> None:
        self._slots = slots
        self.index = index
        self._view = view

    def data(self, length: int) -> memoryview:
        """The first `length` bytes, valid until the release."""
        return self._view[:length]

    def release(self) -> None:
        self._slots.give_back(self)


class Slots:
    """A fixed number of slots: the bound on memory for packed data, and the back-pressure on packing."""

    def __init__(self, count: int, size: int) -> None:
        self.size = size
        self.count = count
        self.descriptor = _reserve(count * size)
        view = memoryview(mmap(self.descriptor, count * size, prot=PROT_READ))
        self._free = [Slot(self, i, view[i * size : (i + 1) * size]) for i in range(count)]
        self._available = Semaphore(count)

    async def acquire(self) -> Slot:
        """Wait for a free slot."""
        await self._available.acquire()
        return self._free.pop()

    def give_back(self, slot: Slot) -> None:
        self._free.append(slot)
        self._available.release()

    def close(self) -> None:
        os.close(self.descriptor)


def slot_size(segment_size: int) -> int:
    """Bytes of a slot for segments of that size: room for growth of files, headers and data that does not shrink."""
    size = segment_size + segment_size // 4 + segment_size // 256 + _HEADER_ROOM
    return -(-size // 4096) * 4096


def _reserve(size: int) -> int:
    """A nameless file of `size` bytes whose space is really there: writing past a full tmpfs kills a process."""
    problems = []
    for directory in ("/dev/shm", tempfile.gettempdir()):
        try:
            with tempfile.TemporaryFile(dir=directory) as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(bytes(size))
                    file.flush()
                return os.dup(file.fileno())
        except OSError as error:
            problems.append(f"{directory}: {error.strerror}")
    raise NoSpace(
        f"no room for {size >> 20} MiB of segments on their way ({', '.join(problems)}); "
        "free some, set TMPDIR, or lower --segment-size, --connections or --processes"
    )


class _Process:
    """One packing process behind an executor that is made anew when the process has died."""

    def __init__(self, start: Callable[[], ProcessPoolExecutor]) -> None:
        self._start = start
        self._executor = start()
        self._is_closed = False
        self.in_flight = 0

    async def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a function in the process; raises WorkerDied where the process ends before it answers.

        Always waits for the end: a slot must not be given away while a process may still write into it.
        """
        executor = self._executor
        self.in_flight += 1
        try:
            return await _uncancelled(executor.submit(function, *args, **kwargs))
        except BrokenProcessPool as error:
            await self._replace(executor)
            raise WorkerDied("a packing process ended unexpectedly (is memory short?)") from error
        finally:
            self.in_flight -= 1

    async def _replace(self, broken: ProcessPoolExecutor) -> None:
        if self._executor is broken and not self._is_closed:
            self._executor = self._start()
            await to_thread.run_sync(self._first_call)

    def _first_call(self) -> None:
        with suppress(BrokenProcessPool):
            self._executor.submit(worker_process.is_ready).result()

    async def start(self) -> None:
        await to_thread.run_sync(self._first_call)

    def forbid_replacement(self) -> None:
        self._is_closed = True

    async def close(self) -> None:
        self._is_closed = True
        await to_thread.run_sync(lambda: self._executor.shutdown(wait=True, cancel_futures=True))


async def _uncancelled(future: Future[_T]) -> _T:
    scope = CancelScope(shield=True)
    scope.__enter__()
    try:
        return await wrap_future(future)
    finally:
        scope.__exit__(None, None, None)


class Lifeline:
    """A pipe that this process alone can close, by `cut` or by dying; packing processes end with it."""

    def __init__(self) -> None:
        self.their_end, self._our_end = os.pipe()
        self._is_cut = False

    def cut(self) -> None:
        if not self._is_cut:
            self._is_cut = True
            os.close(self._our_end)

    def close(self) -> None:
        self.cut()
        os.close(self.their_end)


class Plan:
    """The plan of one entry, kept by one packing process."""

    def __init__(self, key: int, process: _Process, source: bytes) -> None:
        self._key = key
        self._process = process
        self.source = source

    async def begin(self, entry: bytes, slot: Slot, *, hard_links: bool) -> PlanPart:
        """The first part; an archive of one segment comes back packed into `slot`.

        Raises SourceError where the entry cannot be read, WorkerDied.
        """
        begin = worker_process.begin_plan
        try:
            return await self._process.call(begin, self._key, self.source, entry, slot.index, hard_links=hard_links)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror or error}") from error

    async def go_on(self) -> PlanPart:
        """The next part; raises WorkerDied."""
        try:
            return await self._process.call(worker_process.continue_plan, self._key)
        except worker_process.PlanLostError as error:
            raise WorkerDied("the packing process that kept the plan ended (is memory short?)") from error

    async def forget(self) -> None:
        with suppress(WorkerDied):
            await self._process.call(worker_process.forget_plan, self._key)


class Workers:
    """Plans and packs in processes. Use `open_workers`."""

    def __init__(
        self, processes: int, slots: Slots, lifeline: Lifeline, start: Callable[[], ProcessPoolExecutor]
    ) -> None:
        self.slots = slots
        self._lifeline = lifeline
        self._start = start
        self._processes = [_Process(start) for _ in range(processes)]
        self._turns = Semaphore(processes * _TASKS_A_PROCESS)
        self._keys = count()

    def new_plan(self, source: bytes) -> Plan:
        """A plan, not begun, with the process that has least to do."""
        return Plan(next(self._keys), self._least_busy(), source)

    async def pack(self, source: bytes, job: bytes, slot: Slot) -> PackedSlot:
        """Pack a planned segment into `slot`.

        A process that dies with it is replaced, and the segment tried once more in a process of its own.
        Raises SourceError where the source cannot be opened, PackingFailed where it killed that process too.
        """
        try:
            async with self._turns:
                return await self._least_busy().call(worker_process.pack_job, source, job, slot.index)
        except WorkerDied:
            return await self._pack_alone(source, job, slot)
        except OSError as error:
            raise SourceError(f"{os.fsdecode(source)} cannot be read: {error.strerror or error}") from error

    async def _pack_alone(self, source: bytes, job: bytes, slot: Slot) -> PackedSlot:
        process = _Process(self._start)
        try:
            await process.start()
            return await process.call(worker_process.pack_job, source, job, slot.index)
        except WorkerDied as error:
            raise PackingFailed("packing it ended two packing processes (is memory short?)") from error
        finally:
            with CancelScope(shield=True):
                await process.close()

    def _least_busy(self) -> _Process:
        return min(self._processes, key=lambda process: process.in_flight)

    def abort(self) -> None:
        """End all processes now; what they work at fails with WorkerDied."""
        for process in self._processes:
            process.forbid_replacement()
        self._lifeline.cut()

    async def start(self) -> None:
        """Start all processes."""
        async with task_group() as tasks:
            for process in self._processes:
                tasks.start_soon(process.start)

    async def close(self) -> None:
        """End all processes and wait for that."""
        self.abort()
        for process in self._processes:
            await process.close()


@asynccontextmanager
async def open_workers(processes: int, slots: int, rules: PackingRules) -> AsyncIterator[Workers]:
    """Packing processes and slots for as long as the block lasts; both are gone after it, however it ends.

    A process starts with `Workers.start` or with its first task, the sooner of both.
    Raises NoSpace where the slots cannot be reserved.
    """
    shared = Slots(slots, slot_size(rules.segment_size))
    lifeline = Lifeline()
    descriptors = SharedDescriptor(shared.descriptor), SharedDescriptor(lifeline.their_end)
    initialize = partial(worker_process.initialize, *descriptors, shared.size, rules)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["async_backup.worker_process"])

    def start() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, context, initialize)

    workers = Workers(processes, shared, lifeline, start)
    try:
        yield workers
    finally:
        with CancelScope(shield=True):
            await workers.close()
        lifeline.close()
        shared.close()
