"""Structured concurrency without the wrapping: one cause comes out as one exception."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeVar

from anyio import CancelScope, Lock, create_task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from anyio.abc import TaskGroup

_T = TypeVar("_T")
_R = TypeVar("_R")


@contextmanager
def single_error() -> Iterator[None]:
    """Raise one leaf of an exception group in its place: a bug before a permanent failure before a transient one.

    One lost connection ends every request on it; the other leaves say the same again.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        leaf = max(_leaves(group), key=_weight)
        raise leaf from leaf.__cause__


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """anyio's task group, but with `single_error`."""
    with single_error():
        async with create_task_group() as tasks:
            yield tasks


@asynccontextmanager
async def in_background(*calls: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run all for as long as the block lasts, also while it cleans up after it was cancelled."""
    scopes = [CancelScope(shield=True) for _ in calls]

    async def run(scope: CancelScope, call: Callable[[], Awaitable[None]]) -> None:
        with scope:
            await call()

    async with task_group() as tasks:
        for scope, call in zip(scopes, calls, strict=True):
            tasks.start_soon(run, scope, call)
        try:
            yield
        finally:
            for scope in scopes:
                scope.cancel()


async def side_by_side(call: Callable[[_T], Awaitable[_R]], items: Sequence[_T], *, at_once: int) -> list[_R]:
    """What `call` returns for each item, in their order; raises what it raises."""
    results: dict[int, _R] = {}
    places = iter(enumerate(items))

    async def work(places: Iterator[tuple[int, _T]]) -> None:
        for place, item in places:
            results[place] = await call(item)

    async with task_group() as tasks:
        for _ in range(min(at_once, len(items))):
            tasks.start_soon(work, places)
    return [results[place] for place in range(len(items))]


class SharedRun:
    """An operation that serves all who asked for it before it began: for what is slow and the same for everybody."""

    def __init__(self, run: Callable[[], Awaitable[None]]) -> None:
        self._run = run
        self._turn = Lock(fast_acquire=True)
        self._asked = 0
        self._served = 0

    async def join(self) -> None:
        """Return after a run that began after this call; raises what that raises for whoever started it."""
        self._asked += 1
        mine = self._asked
        async with self._turn:
            if self._served >= mine:
                return
            asked = self._asked
            await self._run()
            self._served = asked


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _weight(error: BaseException) -> int:
    is_transient = getattr(error, "is_transient", None)
    return {None: 2, False: 1, True: 0}[is_transient]
