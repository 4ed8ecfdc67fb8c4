"""An open file of one channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import asyncssh

from async_backup.errors import RemoteError

if TYPE_CHECKING:
    from async_backup.remote.ssh.connection import Channel


class Handle:
    """An open file of one channel."""

    def __init__(self, file: asyncssh.SFTPClientFile, channel: Channel, path: bytes) -> None:
        self._file = file
        self.channel = channel
        self.path = path

    async def write(self, offset: int, data: bytes) -> None:
        await self.channel.request(about("writing to", self.path), lambda: self._file.write(data, offset), len(data))

    async def read(self, offset: int, length: int) -> bytes:
        """Some of the `length` bytes from `offset` on: at least one, and none only at the end of the file."""
        doing = about("reading", self.path)
        data = await self.channel.request(doing, lambda: self._file.read(length, offset), length)
        if len(data) > length:
            raise RemoteError(f"{self.channel.connection.host}: {doing}: the server gave more than it was asked for")
        return cast("bytes", data)  # not str: the file was opened without an encoding

    async def sync(self) -> None:
        """Flush the file to the disk; a server without that request does nothing."""
        try:
            await self.channel.request(about("flushing", self.path), self._file.fsync)
        except RemoteError as error:
            if not isinstance(error.__cause__, asyncssh.SFTPOpUnsupported):
                raise

    async def close(self) -> None:
        await self.channel.request(about("closing", self.path), self._file.close)


def about(verb: str, path: bytes) -> str:
    """What a request does, for people."""
    return f"{verb} {path.decode('utf-8', 'backslashreplace')}"
