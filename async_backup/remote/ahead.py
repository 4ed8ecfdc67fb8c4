"""A file on the server as a stream for a thread, read ahead in order by the event loop."""

from __future__ import annotations

import io
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import Event, create_memory_object_stream, from_thread

from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from async_backup.remote.base import RemoteReader

_BLOCK = 1 << 20
_BLOCKS_AHEAD = 8


def _ignore(size: int) -> None:
    del size


class _Block:
    """Some bytes on their way; empty where they never come."""

    def __init__(self) -> None:
        self._is_ready = Event()
        self._data = b""

    async def fetch(self, reader: RemoteReader, offset: int, on_block: Callable[[int], None]) -> None:
        try:
            self._data = await reader.read(offset, min(_BLOCK, reader.size - offset))
            on_block(len(self._data))
        finally:
            self._is_ready.set()

    async def data(self) -> bytes:
        await self._is_ready.wait()
        return self._data


class Stream(io.RawIOBase):
    """What a thread reads, one that `anyio.to_thread` has started. Use `read_ahead`."""

    def __init__(self, blocks: MemoryObjectReceiveStream[_Block]) -> None:
        super().__init__()
        self._blocks = blocks
        self._data = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a Buffer is all that it may be given
        if not self._data:
            self._data = memoryview(from_thread.run(self.next_block))
        size = min(len(buffer), len(self._data))
        buffer[:size], self._data = self._data[:size], self._data[size:]
        return size

    async def next_block(self) -> bytes:
        """The next bytes, for the event loop; empty at the end."""
        async for block in self._blocks:
            return await block.data()
        return b""


@asynccontextmanager
async def read_ahead(reader: RemoteReader, on_block: Callable[[int], None] = _ignore) -> AsyncIterator[io.RawIOBase]:
    """The whole file as a stream, for as long as the block lasts; `on_block` hears the bytes of each block that came.

    Where a block cannot be read, the stream ends early, and RemoteError is raised when the block is left.
    """
    send, receive = create_memory_object_stream[_Block](_BLOCKS_AHEAD)
    async with receive, task_group() as tasks:
        tasks.start_soon(_fetch_all, reader, on_block, send, tasks)
        yield Stream(receive)
        tasks.cancel_scope.cancel()


async def _fetch_all(
    reader: RemoteReader, on_block: Callable[[int], None], send: MemoryObjectSendStream[_Block], tasks: TaskGroup
) -> None:
    async with send:
        for offset in range(0, reader.size, _BLOCK):
            block = _Block()
            await send.send(block)
            tasks.start_soon(block.fetch, reader, offset, on_block)
