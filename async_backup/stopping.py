"""Work that is given up as soon as somebody asks for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from anyio import Event

from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import CancelScope

_T = TypeVar("_T")


async def unless_stopped(stop: Event, work: Callable[[], Awaitable[_T]], *, before: Event | None = None) -> _T | None:
    """What `work` returns; where `stop` is set earlier it is cancelled, and the answer is None.

    Once `before` is set, `work` knows itself how to stop, and is not cancelled any more.
    """
    result = None
    async with task_group() as tasks:
        tasks.start_soon(_cancel_when, stop, before or Event(), tasks.cancel_scope)
        result = await work()
        tasks.cancel_scope.cancel()
    return result


async def _cancel_when(stop: Event, before: Event, scope: CancelScope) -> None:
    await stop.wait()
    if not before.is_set():
        scope.cancel()
