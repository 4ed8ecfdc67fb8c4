"""A directory's names, asked for ahead: an answer of OpenSSH holds 100, and each would cost a round trip otherwise.

Only where it is known that the server deals with the requests for one directory in their order, as OpenSSH does: one
that deals with several at once may leave out names.
"""

from __future__ import annotations

from asyncio import Task, ensure_future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncssh

from async_backup.remote.ssh.batch import Batch
from async_backup.remote.ssh.settle import settled
from async_backup.remote.ssh.translate import REQUEST_ERRORS

if TYPE_CHECKING:
    from async_backup.remote.ssh.channel import Channel

_FIRST = 2
"""Requests at first: of a small directory one is for the names, and one is told that there are no more."""

_MOST = 32

_under_way: set[Task[None]] = set()


class Listing:
    """Reads one directory on a channel; `doing` is what its requests do, for people."""

    def __init__(self, channel: Channel, handler: Any, doing: str) -> None:
        self._channel = channel
        self._handler = handler
        self._doing = doing
        self._names: list[asyncssh.SFTPName] = []
        self._is_at_end = False

    async def read(self, path: bytes) -> list[asyncssh.SFTPName]:
        """All names, as the server gives them; raises as `Channel.request`."""
        handle = await settled(self._channel.request(self._doing, lambda: self._handler.opendir(path)))
        ahead = _FIRST
        try:
            while not self._is_at_end:
                await self._read_some(handle, ahead)
                ahead = min(2 * ahead, _MOST)
        finally:
            end = ensure_future(_closed(self._handler, handle))  # nobody waits for the answer
            _under_way.add(end)
            end.add_done_callback(_under_way.discard)
        return self._names

    async def _read_some(self, handle: bytes, requests: int) -> None:
        async with self._channel.bounded(self._doing) as limit, Batch(self._channel.watch, limit) as batch:
            for _ in range(requests):
                batch.start(self._read_one(handle))

    async def _read_one(self, handle: bytes) -> None:
        try:
            names, is_at_end = await self._handler.readdir(handle)
        except asyncssh.SFTPEOFError:
            self._is_at_end = True
        else:
            self._names += names
            self._is_at_end = self._is_at_end or is_at_end


async def _closed(handler: Any, handle: bytes) -> None:
    with suppress(*REQUEST_ERRORS):
        await handler.close(handle)
