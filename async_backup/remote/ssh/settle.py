"""Requests whose answer has to be known, also by somebody who has no more time for it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, TypeVar

from anyio import CancelScope, current_effective_deadline, current_time, get_cancelled_exc_class, sleep_forever
from anyio.lowlevel import checkpoint

from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_T = TypeVar("_T")

GRACE = 1.0
"""Seconds that a server has for its answer once the request was cancelled."""


async def settled(request: Callable[[], Awaitable[_T]]) -> _T:
    """The answer to a request, even if it is cancelled meanwhile; the cancellation then ends the next wait instead.

    Without an answer in time the cancellation goes on its way: it is not known whether the server has done it.
    """
    answers: list[_T] = []
    try:
        async with task_group() as tasks:
            with CancelScope(shield=True) as scope:
                tasks.start_soon(_end_soon_after_cancellation, scope)
                answers.append(await request())
            tasks.cancel_scope.cancel()
    except get_cancelled_exc_class():
        if not answers or current_effective_deadline() != -inf:
            raise
    while not answers:
        await checkpoint()  # raises what has cancelled us
    return answers[0]


async def _end_soon_after_cancellation(scope: CancelScope) -> None:
    try:
        await sleep_forever()
    finally:
        scope.deadline = current_time() + GRACE
