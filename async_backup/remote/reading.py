"""A file on the server, read through as many channels as there are at the same time."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from anyio import Event, to_thread

from async_backup.errors import ConnectionDropped, RemoteError
from async_backup.remote.handles import Handles, abandon, close_quietly
from async_backup.remote.retry import retried
from async_backup.remote.ssh.channel import OpenFlags
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from async_backup.remote.base import RemoteReader
    from async_backup.remote.pool import Pool
    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.handle import Handle

_BLOCK = 1 << 20
_BLOCKS_AHEAD = 8
"""Blocks of a file that are read at once for its digest: that many channels are used, and that much memory."""


class StripedReader:
    """A `RemoteReader` over the channels of a pool; each opens the file when it first gets something to read."""

    def __init__(self, pool: Pool, handle: Handle, *, size: int, retries: int) -> None:
        self._handles = Handles(pool, handle, OpenFlags.READ)
        self._retries = retries
        self.size = size

    async def read(self, offset: int, length: int) -> bytes:
        """See `RemoteReader.read`."""
        data = bytearray(length)
        await self.read_into(offset, memoryview(data))
        return bytes(data)

    async def read_into(self, offset: int, target: memoryview) -> None:
        """See `RemoteReader.read_into`. After a lost connection it is read again through another."""
        await retried(partial(self._read_once, offset, target), self._retries)

    async def _read_once(self, offset: int, target: memoryview) -> None:
        async with self._handles.lent(len(target)) as handle:
            await handle.read_into(offset, target)

    async def copy_to(self, target: Handle, offset: int, source_offset: int, length: int) -> None:
        """Have the server put bytes of this file into another one; raises RemoteError where it cannot."""
        source = await self._handles.on(target.channel)
        if source.channel is not target.channel:
            raise RemoteError(f"{target.channel.connection.host}: a file cannot be opened twice there")
        await target.copy(offset, source, source_offset, length)

    async def close(self) -> None:
        """See `RemoteReader.close`."""
        await abandon(self._handles)


async def read_at_once(channel: Channel, path: bytes, offset: int, length: int) -> bytes:
    """At most `length` bytes of a small file, in two round trips: the handle's end is sent behind the only read.

    A server handles the requests of one file in the order in which they come (SFTP draft 02, section 6.1). Where
    one does not, or gives less than it could, there are fewer bytes: have those read by a reader.
    """
    handle = await channel.open(path, OpenFlags.READ)
    async with task_group() as tasks:
        tasks.start_soon(close_quietly, handle)  # it begins when the read below waits for its answer
        try:
            return await handle.read(offset, min(length, channel.chunk))
        except ConnectionDropped:
            raise
        except RemoteError:
            return b""


async def digest_of(reader: RemoteReader, algorithm: str) -> str:
    """The digest of all bytes in hexadecimal: some blocks are read at once, and hashed in their order in threads."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    starts = iter(range(0, reader.size, _BLOCK))
    turn = Event()
    turn.set()

    async def hash_blocks() -> None:
        nonlocal turn
        for start in starts:
            my_turn, next_turn = turn, Event()
            turn = next_turn
            block = await reader.read(start, min(_BLOCK, reader.size - start))
            await my_turn.wait()
            await to_thread.run_sync(digest.update, block)
            next_turn.set()

    async with task_group() as tasks:
        for _ in range(_BLOCKS_AHEAD):
            tasks.start_soon(hash_blocks)
    return digest.hexdigest()
