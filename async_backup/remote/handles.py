"""One file, open on as many channels of a pool as its load makes worth it."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from anyio import Lock, move_on_after

from async_backup.errors import ConnectionDropped, RemoteError, RemoteNotFound
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.remote.pool import Pool
    from async_backup.remote.ssh.channel import Channel, OpenFlags
    from async_backup.remote.ssh.handle import Handle

_LOAD_STEP = 1 << 20
"""Bytes in hand that make another channel worth the round trip of opening the file there."""

_CLOSING_GRACE = 1.0


class Handles:
    """The handles of one file, at most one a channel; `flags` are those by which further ones are opened."""

    def __init__(self, pool: Pool, first: Handle, flags: OpenFlags) -> None:
        self._pool = pool
        self._path = first.path
        self._flags = flags
        self._handles: dict[Channel, Handle] = {first.channel: first}
        self._opening: dict[Channel, Lock] = {}
        self._is_only_one = False

    @asynccontextmanager
    async def lent(self, size: int) -> AsyncIterator[Handle]:
        """The handle of the channel with least to do, which has `size` bytes more to do inside the block."""
        channel = await self._least_loaded()
        with channel.loaded(size):
            yield await self.on(channel)

    async def any(self) -> Handle:
        """A handle that can be used, opened if there is none."""
        for channel, handle in self._handles.items():
            if channel.is_usable:
                return handle
        return await self.on(await self._pool.channel())

    async def _least_loaded(self) -> Channel:
        """The channel with least to do, one that has the file open already being the better one."""
        await self._pool.channel()
        usable = [c for c in self._pool.usable_channels() if not self._is_only_one or c in self._handles]
        if not usable:
            self._is_only_one = False
            usable = [await self._pool.channel()]

        def burden(channel: Channel) -> tuple[int, bool, int]:
            return channel.load // _LOAD_STEP, channel not in self._handles, channel.load

        return min(usable, key=burden)

    async def on(self, channel: Channel) -> Handle:
        """The handle of a channel, opened if need be; another one where the server refuses it."""
        async with self._opening.setdefault(channel, Lock(fast_acquire=True)):
            if channel not in self._handles:
                try:
                    self._handles[channel] = await channel.open(self._path, self._flags)
                except (ConnectionDropped, RemoteNotFound):
                    raise
                except RemoteError as error:
                    return self._only_handle(error)
            return self._handles[channel]

    def _only_handle(self, refusal: RemoteError) -> Handle:
        """The handle of a server that refuses a second one; one that was lost may still count there for a while."""
        self._is_only_one = True
        for channel, handle in self._handles.items():
            if channel.is_usable:
                return handle
        raise ConnectionDropped(f"{refusal} (to go on after a lost connection)") from refusal

    def forget(self, handle: Handle) -> None:
        """The handle has been closed."""
        del self._handles[handle.channel]

    async def close(self) -> None:
        """Close all handles. What was on its way before has been done or dropped when it returns."""
        handles = list(self._handles.values())
        self._handles.clear()
        async with task_group() as tasks:
            for handle in handles:
                tasks.start_soon(_close_unless_lost, handle)


class OnlyHandle:
    """The one handle that a file ever has: what was begun ends with it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._is_open = True

    @asynccontextmanager
    async def lent(self, size: int) -> AsyncIterator[Handle]:
        """See `Handles`; raises ConnectionDropped where its channel was lost."""
        handle = await self.any()
        with handle.channel.loaded(size):
            yield handle

    async def any(self) -> Handle:
        """See `Handles`; raises ConnectionDropped where its channel was lost."""
        if self._handle.channel.is_usable:
            return self._handle
        host = self._handle.channel.connection.host
        raise ConnectionDropped(f"{host}: the connection was lost, and the file has to be begun anew")

    def forget(self, _: Handle) -> None:
        """The handle has been closed."""
        self._is_open = False

    async def close(self) -> None:
        """See `Handles`."""
        if self._is_open:
            self._is_open = False
            await _close_unless_lost(self._handle)


async def abandon(handles: Handles | OnlyHandle) -> None:
    """Close all handles without waiting long; raises nothing."""
    with move_on_after(_CLOSING_GRACE, shield=True), suppress(RemoteError):
        await handles.close()


async def _close_unless_lost(handle: Handle) -> None:
    # The data was flushed, or is not wanted any more; a channel that ended meanwhile has closed the file too.
    if handle.channel.is_usable:
        with suppress(ConnectionDropped):
            await handle.close()


async def close_quietly(handle: Handle) -> None:
    """Close a handle whose file needs no promise; raises nothing and does not wait long."""
    with move_on_after(_CLOSING_GRACE, shield=True), suppress(RemoteError):
        await handle.close()
