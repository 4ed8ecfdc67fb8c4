"""Requests whose answer has to be known, also by somebody who has no more time for it."""

from __future__ import annotations

from asyncio import CancelledError, ensure_future, shield, wait
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CancelScope, current_effective_deadline

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")

GRACE = 1.0
"""Seconds that a server has for its answer once the request was cancelled."""


async def settled(request: Coroutine[Any, Any, _T]) -> _T:
    """The answer to a request, even if it is cancelled meanwhile; the cancellation then ends the next wait instead.

    Without an answer in time the cancellation goes on its way: it is not known whether the server has done it.
    """
    answer = ensure_future(request)
    try:
        return await shield(answer)
    except CancelledError:
        with CancelScope(shield=True):
            await wait({answer}, timeout=GRACE)
            if not answer.done():
                answer.cancel()
                await wait({answer})
        if answer.cancelled() or current_effective_deadline() != -inf:
            raise
    return answer.result()
