"""A new file on the server, written through as many channels as there are at the same time."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from anyio import Lock, move_on_after

from async_backup.errors import ConnectionDropped, RemoteError, RemoteNotFound
from async_backup.remote.retry import retried
from async_backup.remote.ssh.connection import Handle, OpenFlags
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.remote.pool import Pool
    from async_backup.remote.rate import RateLimit
    from async_backup.remote.ssh.connection import Channel

_LOAD_STEP = 1 << 20
"""Bytes in hand that make another channel worth the round trip of opening the file there."""

_CLOSING_GRACE = 1.0


class StripedFile:
    """A `RemoteFile` over the channels of a pool; each opens the file when it first gets a segment."""

    def __init__(self, pool: Pool, handle: Handle, path: bytes, *, rate: RateLimit, retries: int) -> None:
        self._pool = pool
        self._path = path
        self._rate = rate
        self._retries = retries
        self._handles: dict[Channel, Handle] = {handle.channel: handle}
        self._opening: dict[Channel, Lock] = {}
        self._takes_one_writer = False

    async def write(self, offset: int, data: memoryview | bytes) -> None:
        """See `RemoteFile.write`. After a lost connection the bytes are sent again through another."""
        await retried(partial(self._write_once, offset, memoryview(data)), self._retries)

    async def _write_once(self, offset: int, data: memoryview) -> None:
        channel = await self._least_loaded()
        with channel.loaded(len(data)):
            await self._write_through(await self._opened_on(channel), offset, data)

    async def _write_through(self, handle: Handle, offset: int, data: memoryview) -> None:
        step = handle.channel.chunk
        starts = iter(range(0, len(data), step))
        try:
            if len(data) <= step:
                await self._write_chunks(handle, offset, data, starts)
                return
            async with task_group() as tasks:
                for _ in range(min(handle.channel.depth, -(-len(data) // step))):
                    tasks.start_soon(self._write_chunks, handle, offset, data, starts)
        except RemoteError as error:
            raise await handle.channel.explain(error, self._path.rpartition(b"/")[0] or b".") from error

    async def _write_chunks(self, handle: Handle, offset: int, data: memoryview, starts: Iterator[int]) -> None:
        step = handle.channel.chunk
        for start in starts:
            chunk = bytes(data[start : start + step])
            await self._rate.take(len(chunk))
            async with handle.channel.window:
                await handle.write(offset + start, chunk)

    async def _least_loaded(self) -> Channel:
        """The channel with least to do, one that has the file open already being the better one."""
        await self._pool.channel()
        usable = [c for c in self._pool.usable_channels() if not self._takes_one_writer or c in self._handles]
        if not usable:
            self._takes_one_writer = False
            usable = [await self._pool.channel()]

        def burden(channel: Channel) -> tuple[int, bool, int]:
            return channel.load // _LOAD_STEP, channel not in self._handles, channel.load

        return min(usable, key=burden)

    async def _opened_on(self, channel: Channel) -> Handle:
        async with self._opening.setdefault(channel, Lock(fast_acquire=True)):
            if channel not in self._handles:
                try:
                    self._handles[channel] = await channel.open(self._path, OpenFlags.WRITE)
                except (ConnectionDropped, RemoteNotFound):
                    raise
                except RemoteError as error:
                    return self._only_handle(error)
            return self._handles[channel]

    def _only_handle(self, refusal: RemoteError) -> Handle:
        """The handle of a server that refuses a second writer; one that was lost may still count there for a while."""
        self._takes_one_writer = True
        for channel, handle in self._handles.items():
            if channel.is_usable:
                return handle
        raise ConnectionDropped(f"{refusal} (to go on after a lost connection)") from refusal

    async def finish(self) -> None:
        """See `RemoteFile.finish`."""
        await retried(self._finish_once, self._retries)

    async def _finish_once(self) -> None:
        handle = await self._any_handle()
        await handle.sync()
        await self._close_all()

    async def _any_handle(self) -> Handle:
        for channel, handle in self._handles.items():
            if channel.is_usable:
                return handle
        return await self._opened_on(await self._pool.channel())

    async def _close_all(self) -> None:
        handles = [handle for channel, handle in self._handles.items() if channel.is_usable]
        self._handles.clear()
        async with task_group() as tasks:
            for handle in handles:
                tasks.start_soon(_close_quietly_if_lost, handle)

    async def abandon(self) -> None:
        """See `RemoteFile.abandon`. What was on its way before has been written or dropped when it returns."""
        with move_on_after(_CLOSING_GRACE, shield=True), suppress(RemoteError):
            await self._close_all()


async def _close_quietly_if_lost(handle: Handle) -> None:
    # The data was flushed, or is not wanted any more; a channel that ended meanwhile has closed the file too.
    with suppress(ConnectionDropped):
        await handle.close()
