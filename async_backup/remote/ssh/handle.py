"""An open file of one channel."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

import asyncssh

from async_backup.errors import RemoteError, RemoteTruncated
from async_backup.remote.ssh.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backup.remote.ssh.channel import Channel


class Handle:
    """An open file of one channel."""

    def __init__(self, file: asyncssh.SFTPClientFile, channel: Channel, path: bytes) -> None:
        self._file = file
        self.channel = channel
        self.path = path

    async def write(self, offset: int, data: memoryview | bytes) -> None:
        """One request, which has to be of no more bytes than the channel's chunk."""
        doing = about("writing to", self.path)
        await self.channel.request(doing, lambda: self._file.write(cast("bytes", data), offset), len(data))

    async def write_all(self, offset: int, data: memoryview, take: Callable[[int], Awaitable[None]]) -> None:
        """As many requests as it takes, as far as the window lets at the same time; `take` is waited for before each.

        Nobody reads `data` any more when this returns or raises.
        """
        doing, step, window = about("writing to", self.path), self.channel.chunk, self.channel.window
        async with self.channel.bounded(doing) as limit, Batch(self.channel.watch, limit) as batch:
            for start in range(0, len(data), step):
                part = data[start : start + step]
                await take(len(part))
                await window.acquire()
                batch.start(self._file.write(cast("bytes", part), offset + start), len(part), window.release)

    async def write_whole(self, data: memoryview | bytes) -> None:
        """Write all that the file is to hold, flush and close it, in the time of one answer.

        The requests leave one behind the other: a server handles those of one file in their order.
        """
        doing, window = about("writing to", self.path), self.channel.window
        async with window, self.channel.bounded(doing) as limit, Batch(self.channel.watch, limit) as batch:
            batch.start(self._file.write(cast("bytes", data), 0), len(data))
            batch.start(self._flush())
            batch.start(self._file.close())

    async def _flush(self) -> None:
        with suppress(asyncssh.SFTPOpUnsupported):
            await self._file.fsync()

    async def copy(self, offset: int, source: Handle, source_offset: int, length: int) -> None:
        """Have the server put bytes of another file at `offset`, which has to be open on the same channel."""
        await self.channel.copy(self._file, offset, source._file, source_offset, length)

    async def read(self, offset: int, length: int) -> bytes:
        """Some of the `length` bytes from `offset` on: at least one, and none only at the end of the file."""
        return bytes(
            await self.channel.request(about("reading", self.path), lambda: self._read(offset, length), length)
        )

    async def read_into(self, offset: int, target: memoryview) -> None:
        """Fill `target` from `offset` on, as far as the window lets by requests under way at the same time.

        Raises RemoteTruncated. Nobody writes to `target` any more when this returns or raises.
        """
        doing, step, window = about("reading", self.path), self.channel.chunk, self.channel.window
        async with self.channel.bounded(doing) as limit, Batch(self.channel.watch, limit) as batch:
            for start in range(0, len(target), step):
                part = target[start : start + step]
                await window.acquire()
                batch.start(self._fill(offset + start, part), len(part), window.release)

    async def _fill(self, offset: int, target: memoryview) -> None:
        """A server may give fewer bytes than it was asked for; the rest is asked for again."""
        while target:
            data = await self._read(offset, len(target))
            if not data:
                shown = self.path.decode("utf-8", "backslashreplace")
                raise RemoteTruncated(
                    f"{self.channel.connection.host}: {shown} is shorter than it was said to be: "
                    f"there is nothing at byte {offset}"
                )
            target[: len(data)] = data
            offset, target = offset + len(data), target[len(data) :]

    async def _read(self, offset: int, length: int) -> bytes:
        data = cast("bytes", await self._file.read(length, offset))  # or a memoryview, see `Answers`
        if len(data) > length:
            doing = about("reading", self.path)
            raise RemoteError(f"{self.channel.connection.host}: {doing}: the server gave more than it was asked for")
        return data

    async def sync(self) -> None:
        """Flush the file to the disk; a server without that request does nothing."""
        await self.channel.request(about("flushing", self.path), self._flush)

    async def close(self) -> None:
        await self.channel.request(about("closing", self.path), self._file.close)


def about(verb: str, path: bytes) -> str:
    """What a request does, for people."""
    return f"{verb} {path.decode('utf-8', 'backslashreplace')}"
