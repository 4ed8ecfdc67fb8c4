"""Work that is given up as soon as somebody asks for that, and what is still done where it ends without waiting."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from anyio import Event

from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from anyio import CancelScope

_T = TypeVar("_T")

_last_deeds: list[Callable[[], None]] = []


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


@contextmanager
def done_at_sudden_end(deed: Callable[[], None]) -> Iterator[None]:
    """Have `deed`, which neither waits nor raises, done if the program ends at once while the block is under way."""
    _last_deeds.append(deed)
    try:
        yield
    finally:
        _last_deeds.remove(deed)


def do_last_deeds() -> None:
    """What is to be done before the program ends at once; from any thread."""
    for deed in tuple(_last_deeds):
        deed()
