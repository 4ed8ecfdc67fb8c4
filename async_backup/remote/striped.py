"""A new file on the server, written through as many channels as there are at the same time, or in order through one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from anyio import Condition

from async_backup.errors import RemoteError, unsupported
from async_backup.remote.handles import Handles, OnlyHandle, abandon
from async_backup.remote.reading import StripedReader
from async_backup.remote.retry import retried
from async_backup.remote.ssh.channel import OpenFlags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.remote.base import RemoteReader
    from async_backup.remote.pool import Pool
    from async_backup.remote.rate import RateLimit
    from async_backup.remote.ssh.handle import Handle


def new_file(pool: Pool, handle: Handle, *, is_in_order: bool, rate: RateLimit, retries: int) -> StripedFile:
    """A new file that is open once; `is_in_order` where the server takes one only from its beginning to its end."""
    if is_in_order:
        return OrderedFile(handle, rate=rate)
    return StripedFile(Handles(pool, handle, OpenFlags.WRITE), rate=rate, retries=retries)


class StripedFile:
    """A `RemoteFile` over the channels of a pool; each opens the file when it first gets a segment."""

    def __init__(self, handles: Handles | OnlyHandle, *, rate: RateLimit, retries: int) -> None:
        self._handles = handles
        self._rate = rate
        self._retries = retries

    async def write(self, offset: int, data: memoryview | bytes) -> None:
        """See `RemoteFile.write`. After a lost connection the bytes are sent again through another."""
        await retried(partial(self._write_once, offset, memoryview(data)), self._retries)

    async def _write_once(self, offset: int, data: memoryview) -> None:
        async with self._handles.lent(len(data)) as handle, _explained(handle):
            await handle.write_all(offset, data, self._rate.take)

    async def copy(self, offset: int, source: RemoteReader, source_offset: int, length: int) -> None:
        """See `RemoteFile.copy`."""
        if not isinstance(source, StripedReader):
            raise RemoteError("what is to be copied is not open on this server")
        await retried(partial(self._copy_once, offset, source, source_offset, length), self._retries)

    async def _copy_once(self, offset: int, source: StripedReader, source_offset: int, length: int) -> None:
        async with self._handles.lent(length) as handle, _explained(handle):
            await source.copy_to(handle, offset, source_offset, length)

    async def finish(self) -> None:
        """See `RemoteFile.finish`."""
        await retried(self._finish_once, self._retries)

    async def _finish_once(self) -> None:
        handle = await self._handles.any()
        await handle.sync()
        await self._handles.close()

    async def write_whole(self, data: memoryview | bytes) -> None:
        """See `RemoteFile.write_whole`."""
        handle = await self._handles.any()
        if len(data) > handle.channel.chunk:
            await self.write(0, data)
            await self.finish()
        else:
            await self._rate.take(len(data))
            await retried(partial(self._write_at_once, data), self._retries)

    async def _write_at_once(self, data: memoryview | bytes) -> None:
        handle = await self._handles.any()
        async with _explained(handle):
            with handle.channel.loaded(len(data)):
                await handle.write_whole(data)
        self._handles.forget(handle)

    async def abandon(self) -> None:
        """See `RemoteFile.abandon`. What was on its way before has been written or dropped when it returns."""
        await abandon(self._handles)


class OrderedFile(StripedFile):
    """A `RemoteFile` for servers that take a file only from its beginning to its end, through one handle.

    Object stores behind SFTP do that. A write waits for those before it: offsets must leave no gap. After a lost
    connection nothing can be sent again: the error is ConnectionDropped, and the file has to be made anew.
    """

    def __init__(self, handle: Handle, *, rate: RateLimit) -> None:
        super().__init__(OnlyHandle(handle), rate=rate, retries=0)
        self._written = 0
        self._advance = Condition()

    async def write(self, offset: int, data: memoryview | bytes) -> None:
        """See `RemoteFile.write`."""
        async with self._advance:
            while self._written < offset:
                await self._advance.wait()
        await super().write(offset, data)
        async with self._advance:
            self._written = max(self._written, offset + len(data))
            self._advance.notify_all()

    async def copy(self, offset: int, source: RemoteReader, source_offset: int, length: int) -> None:
        """See `RemoteFile`: such servers have nothing of the kind."""
        del offset, source, source_offset, length
        raise unsupported("a server that takes files only in order copies nothing")


@asynccontextmanager
async def _explained(handle: Handle) -> AsyncIterator[None]:
    """Writing to a file, with the better error that a second look at its directory may give."""
    try:
        yield
    except RemoteError as error:
        raise await handle.channel.explain(error, handle.path.rpartition(b"/")[0] or b".") from error
