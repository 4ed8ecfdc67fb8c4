"""Requests to a server on whichever channel has the least to do, sent again where a connection was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from anyio import sleep

from async_backup.remote import steps
from async_backup.remote.retry import retried

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backup.remote.pool import Pool
    from async_backup.remote.ssh.channel import Channel

_T = TypeVar("_T")

_SETTLING = 0.2


class Requests:
    """Sends what a caller does with a channel."""

    def __init__(self, pool: Pool, retries: int) -> None:
        self._pool = pool
        self._retries = retries
        self.host = pool.host

    async def send(self, call: Callable[[Channel], Awaitable[_T]]) -> _T:
        """What `call` returns; it is called again after a lost connection."""

        async def call_once() -> _T:
            return await call(await self._pool.channel())

        return await retried(call_once, self._retries)

    async def remove(self, path: bytes, *, may_come_back: bool) -> None:
        """Remove a file, if it is there.

        One `may_come_back` where the server takes files only in order: when it comes to the end of what was written.
        """
        await self.send(lambda channel: steps.remove(channel, path))
        if may_come_back:
            await sleep(_SETTLING)
            await self.send(lambda channel: steps.remove(channel, path))

    async def make(self, path: bytes, make: Callable[[Channel, bool], Awaitable[_T]]) -> _T:
        """What `make` returns, which makes a file; it is told whether that was tried before, and then finds none."""
        was_tried = False

        async def attempt(channel: Channel) -> _T:
            nonlocal was_tried
            if was_tried:
                await steps.remove(channel, path)
            before, was_tried = was_tried, True
            return await make(channel, before)

        return await self.send(attempt)
