"""Processes that work for this one, and slots of shared memory between them and it, as one async resource.

Each has an executor of its own: what one keeps for later stays with it, and the death of one process breaks
nothing but its own tasks.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from asyncio import wait, wrap_future
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from multiprocessing import forkserver
from multiprocessing.util import get_temp_dir
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from anyio import CancelScope, to_thread

from async_backup.child import SharedDescriptor, is_ready
from async_backup.errors import PackingFailed, WorkerDied
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from concurrent.futures import Future
    from multiprocessing.context import ForkServerContext

    from async_backup.slots import Slots

_P = ParamSpec("_P")
_T = TypeVar("_T")

Initializer = Callable[Concatenate[SharedDescriptor, SharedDescriptor, str, int, _P], None]
"""What a new process runs: with the slots' descriptor, the lifeline's, the scratch directory, the slots' size."""

_LOOK_AFTER = 2.0
"""Seconds between looks whether a task can still come to an end."""

_START_ERRORS = (BrokenProcessPool, OSError, EOFError, RuntimeError)
"""What starting a process raises where the system has no room for it, or its forkserver has just died."""

_MOST_READERS = 4096
"""Processes that one lifeline can end, those included that died and were replaced."""


class Process:
    """One process behind an executor that is made anew when the process has died."""

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
            raise WorkerDied("a working process ended unexpectedly (is memory short?)") from error
        finally:
            self.in_flight -= 1

    async def _replace(self, broken: ProcessPoolExecutor) -> None:
        if self._executor is broken and not self._is_closed:
            with suppress(*_START_ERRORS):  # the next call finds it broken and tries again
                self._executor = self._start()
                await to_thread.run_sync(self._first_call)

    def _first_call(self) -> None:
        with _hangup_blocked():
            self._executor.submit(is_ready).result()

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
    return PackingFailed(f"working processes cannot be started ({said}); see ulimit, /dev/shm and TMPDIR")


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


class Processes:
    """A fixed number of processes and of slots. Use `open_processes`."""

    def __init__(self, number: int, slots: Slots, lifeline: Lifeline, start: Callable[[], ProcessPoolExecutor]) -> None:
        self.slots = slots
        self._lifeline = lifeline
        self._start = start
        self._all = [Process(start) for _ in range(number)]

    def __len__(self) -> int:
        return len(self._all)

    def least_busy(self) -> Process:
        """The process that has least to do."""
        return min(self._all, key=lambda process: process.in_flight)

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[Process]:
        """A process of its own for what may end it; raises PackingFailed where it cannot be started."""
        process = Process(self._start)
        try:
            await process.start()
            yield process
        finally:
            with CancelScope(shield=True):
                await process.close()

    async def start(self) -> None:
        """Start all processes; without it each starts with its first task."""
        async with task_group() as tasks:
            for process in self._all:
                tasks.start_soon(process.start)

    def abort(self) -> None:
        """End all processes now; what they work at fails with WorkerDied."""
        for process in self._all:
            process.forbid_replacement()
        self._lifeline.cut()

    async def close(self) -> None:
        """End all processes and wait for that."""
        self.abort()
        for process in self._all:
            await process.close()


def warm_up(module: str) -> None:
    """Start what starts processes, with `module` loaded, so that they come up at once when they are needed."""
    _context(module)
    with _hangup_blocked(), suppress(*_START_ERRORS):  # whoever needs a process will say what is wrong
        forkserver.ensure_running()


@asynccontextmanager
async def warmed_up(module: str) -> AsyncIterator[None]:
    """Have `warm_up` done while the block makes its connection; it ends when both have."""
    async with task_group() as tasks:
        tasks.start_soon(to_thread.run_sync, warm_up, module)
        yield


def _stand_somewhere() -> None:
    """Leave a working directory that is gone, or that nobody could enter again: new processes try to."""
    try:
        os.chdir(os.getcwd())
    except OSError:
        os.chdir("/")


def _context(module: str) -> ForkServerContext:
    _stand_somewhere()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@asynccontextmanager
async def open_processes(
    number: int, slots: Slots, initialize: Initializer[_P], *args: _P.args, **kwargs: _P.kwargs
) -> AsyncIterator[Processes]:
    """Processes for as long as the block lasts, prepared by `initialize`; they and the slots are gone after it.

    Raises PackingFailed where processes cannot be started.
    """
    lifeline = Lifeline()
    descriptors = SharedDescriptor(slots.descriptor), SharedDescriptor(lifeline.their_end)
    prepare = partial(initialize, *descriptors, get_temp_dir(), slots.size, *args, **kwargs)
    context = _context(initialize.__module__)

    def start() -> ProcessPoolExecutor:
        with _hangup_blocked():
            return ProcessPoolExecutor(1, context, prepare)

    try:
        processes = Processes(number, slots, lifeline, start)
    except OSError as error:
        lifeline.close()
        slots.close()
        raise cannot_start(error) from error
    try:
        yield processes
    finally:
        with CancelScope(shield=True):
            await processes.close()
        lifeline.close()
        slots.close()
