"""Places in a destination: paths that are relative to it, as users and archives name them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from async_backup.errors import SERVER_GONE, RemoteError, RemoteTruncated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.remote.base import RemoteReader, RemoteStore


def path_in(store: RemoteStore, path: bytes) -> bytes:
    """From a path in the destination (b"" is the destination itself) to one that the store takes."""
    return b"%b/%b" % (store.directory.rstrip(b"/"), path) if path else store.directory


SMALL = 128 << 10
"""Bytes of a file that is read whole when it is opened: two round trips in the place of five."""


class HeldReader:
    """A `RemoteReader` of a small file, all of which is here."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    async def read(self, offset: int, length: int) -> bytes:
        """See `RemoteReader`."""
        found = self._content[offset : offset + length]
        if len(found) < length:
            raise RemoteTruncated(f"it ends before byte {offset + length}")
        return found

    async def read_into(self, offset: int, target: memoryview) -> None:
        """See `RemoteReader`."""
        target[:] = await self.read(offset, len(target))

    async def close(self) -> None:
        """See `RemoteReader`."""


@asynccontextmanager
async def open_listed(store: RemoteStore, path: bytes, size: int) -> AsyncIterator[RemoteReader]:
    """A file of the destination that was listed as a file of that size; raises RemoteError.

    Without a size (not every server tells it in a listing), and where it cannot be read whole, it is opened and looked
    at.
    """
    if 0 < size <= SMALL and (content := await _read_whole(store, path_in(store, path), size)):
        yield HeldReader(content)
        return
    async with open_reader(store, path) as reader:
        yield reader


async def _read_whole(store: RemoteStore, path: bytes, size: int) -> bytes:
    try:
        return await store.read_ending(path, size, size)
    except SERVER_GONE:
        raise
    except RemoteError:
        return b""


@asynccontextmanager
async def open_reader(store: RemoteStore, path: bytes) -> AsyncIterator[RemoteReader]:
    """A file of the destination, by its path in it; raises RemoteNotFound, RemoteError."""
    reader = await store.open(path_in(store, path))
    try:
        yield reader
    finally:
        await reader.close()
