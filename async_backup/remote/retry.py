"""Trying again after a lost connection, with pauses that grow."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from anyio import sleep

from async_backup.errors import ConnectionDropped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_T = TypeVar("_T")

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_REQUEST_SHARE = 0.25
"""A request waits less than a new connection: another one may be there already."""


def pause_before(attempt: int) -> float:
    """Seconds to wait before the n-th new attempt (from 0): growing fourfold, with jitter so that crowds disperse."""
    return float(min(_FIRST_PAUSE * 4 ** min(attempt, 16), _LONGEST_PAUSE) * random.uniform(0.5, 1.0))


async def retried(call: Callable[[], Awaitable[_T]], retries: int) -> _T:
    """What `call` returns; where a connection was lost it is called again, up to `retries` times."""
    for attempt in range(retries):
        try:
            return await call()
        except ConnectionDropped:
            await sleep(pause_before(attempt) * _REQUEST_SHARE)
    return await call()
