"""The packing processes and the slots in shared memory that carry what they packed, as one async resource.

Each process has an executor of its own: a plan stays with the process that began it, and the death of one
process breaks nothing but its own tasks.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from asyncio import wait, wrap_future
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import count
from multiprocessing.util import get_temp_dir
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from anyio import CancelScope, Semaphore, to_thread

from async_backup import worker_process
from async_backup.errors import PackingFailed, SourceError, WorkerDied
from async_backup.slots import Slot, Slots, slot_size
from async_backup.tasks import task_group
from async_backup.worker_process import PackingRules, SharedDescriptor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from concurrent.futures import Future

    from async_backup.worker_process import PackedSlot, PlanPart

_P = ParamSpec("_P")
_T = TypeVar("_T")

_TASKS_A_PROCESS = 2
"""One under way and one waiting, so that a process does not idle while its result travels."""

_LOOK_AFTER = 2.0
"""Seconds between looks whether a task can still come to an end."""

_START_ERRORS = (BrokenProcessPool, OSError, EOFError, RuntimeError)
"""What starting a process raises where the system has no room for it, or its forkserver has just died."""

_MOST_READERS = 4096
"""Packing processes that one lifeline can end, those included that died and were replaced."""


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
            return await _answer(executor, _submitted(executor, function, *args, **kwargs))
        except BrokenProcessPool as error:
            await self._replace(executor)
            raise WorkerDied("a packing process ended unexpectedly (is memory short?)") from error
        finally:
            self.in_flight -= 1

    async def _replace(self, broken: ProcessPoolExecutor) -> None:
        if self._executor is broken and not self._is_closed:
            with suppress(*_START_ERRORS):  # the next call finds it broken and tries again
                self._executor = self._start()
                await to_thread.run_sync(self._first_call)

    def _first_call(self) -> None:
        with _hangup_blocked():
            self._executor.submit(worker_process.is_ready).result()

    async def start(self) -> None:
        """Start the process; raises PackingFailed where the system does not let us."""
        try:
            await to_thread.run_sync(self._first_call)
        except _START_ERRORS as error:
            if not self._is_closed:
                raise cannot_start(error) from error

    def forbid_replacement(self) -> None:
        self._is_closed = True

    async def close(self) -> None:
        self._is_closed = True
        with suppress(RuntimeError):  # its thread was never started
            await to_thread.run_sync(lambda: self._executor.shutdown(wait=True, cancel_futures=True))


def cannot_start(error: BaseException) -> PackingFailed:
    """The error for a system that has no room for our processes."""
    said = str(error) or type(error).__name__
    return PackingFailed(f"packing processes cannot be started ({said}); see ulimit, /dev/shm and TMPDIR")


def _submitted(
    executor: ProcessPoolExecutor, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> Future[_T]:
    """The task of a process that may have to be started first; raises BrokenProcessPool where it cannot be."""
    try:
        with _hangup_blocked():
            return executor.submit(function, *args, **kwargs)
    except _START_ERRORS as error:
        raise BrokenProcessPool(str(error)) from error


async def _answer(executor: ProcessPoolExecutor, future: Future[_T]) -> _T:
    """Wait for the end of a task, whatever cancels us; raises BrokenProcessPool where it will never come."""
    scope = CancelScope(shield=True)
    scope.__enter__()
    try:
        waiting = wrap_future(future)
        while not (await wait({waiting}, timeout=_LOOK_AFTER))[0]:
            manager = getattr(executor, "_executor_manager_thread", None)
            if manager is not None and not manager.is_alive() and not future.done():
                await to_thread.run_sync(_kill_process, executor)
                raise BrokenProcessPool("the thread that waits for the process has ended")
        return waiting.result()
    finally:
        scope.__exit__(None, None, None)


def _kill_process(executor: ProcessPoolExecutor) -> None:
    """End the process of an executor that has lost its thread: it must not write into a slot any more."""
    for process in (executor._processes or {}).values():
        process.kill()
        process.join()


@contextmanager
def _hangup_blocked() -> Iterator[None]:
    """Processes started here do not end with the terminal: we decide about that, and clean up."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Lifeline:
    """A pipe that this process alone can write to and close; packing processes end when it does either.

    A byte for each of them says that it was cut on purpose, the bare end that this process has died.
    """

    def __init__(self) -> None:
        self.their_end, self._our_end = os.pipe()
        self._is_cut = False

    def cut(self) -> None:
        if not self._is_cut:
            self._is_cut = True
            os.write(self._our_end, bytes(_MOST_READERS))
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
    Raises NoSpace where the slots cannot be reserved, PackingFailed where processes cannot be started.
    """
    shared = Slots(slots, slot_size(rules.segment_size))
    lifeline = Lifeline()
    descriptors = SharedDescriptor(shared.descriptor), SharedDescriptor(lifeline.their_end)
    initialize = partial(worker_process.initialize, *descriptors, get_temp_dir(), shared.size, rules)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["async_backup.worker_process"])

    def start() -> ProcessPoolExecutor:
        with _hangup_blocked():
            return ProcessPoolExecutor(1, context, initialize)

    try:
        workers = Workers(processes, shared, lifeline, start)
    except OSError as error:
        lifeline.close()
        shared.close()
        raise cannot_start(error) from error
    try:
        yield workers
    finally:
        with CancelScope(shield=True):
            await workers.close()
        lifeline.close()
        shared.close()
