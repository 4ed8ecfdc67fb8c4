"""Segments that an older archive at the destination has already: the server copies them, in the place of us sending."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archived import read_archive
from async_backup.errors import ConnectionDropped, DamagedArchive, RemoteError, RemoteFull, RemoteNotFound
from async_backup.remote.places import open_reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from async_backup.archived import Turns
    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteFile, RemoteReader, RemoteStore


_LEAST = 32 << 10
"""Bytes of a segment that are worth opening the older archive on one more channel."""


class Older(NamedTuple):
    """An older archive that is open, and where each segment is in it, by its SHA-256 and length."""

    reader: RemoteReader
    offsets: Mapping[tuple[bytes, int], int]


@asynccontextmanager
async def open_older(store: RemoteStore, archive: StoredArchive | None, turns: Turns) -> AsyncIterator[Older | None]:
    """The archive for as long as the block lasts; None where there is none, or it cannot be used."""
    async with AsyncExitStack() as opened:
        yield await _read(store, archive, turns, opened) if archive else None


async def _read(store: RemoteStore, archive: StoredArchive, turns: Turns, opened: AsyncExitStack) -> Older | None:
    try:
        reader = await opened.enter_async_context(open_reader(store, archive.path))
        async with turns.turn(archive.size):
            segments = (await read_archive(reader, archive.path)).segments
            return Older(reader, {(segment.sha256, segment.length): segment.offset for segment in segments})
    except (DamagedArchive, RemoteError):
        return None


class ArchiveFile:
    """A new archive while it is written: segments that an older one has are copied, and all else is sent."""

    def __init__(
        self,
        file: RemoteFile,
        older: Older | None = None,
        *,
        copied: Callable[[int], None] = lambda _: None,
        refused: Callable[[RemoteError], None] = lambda _: None,
    ) -> None:
        """`copied` is told of bytes that were not sent, `refused` why the server copies none."""
        self._file = file
        self._older = older
        self._copied = copied
        self._refused = refused

    async def write_segment(self, offset: int, data: memoryview | bytes, sha256: bytes) -> None:
        """As `write`, of a segment whose bytes have that digest."""
        older = self._older
        found = older.offsets.get((sha256, len(data))) if older and len(data) >= _LEAST else None
        if older is None or found is None or not await self._is_copied(offset, older, found, len(data)):
            await self._file.write(offset, data)

    async def _is_copied(self, offset: int, older: Older, found: int, length: int) -> bool:
        try:
            await self._file.copy(offset, older.reader, found, length)
        except ConnectionDropped:
            raise
        except RemoteError as error:
            is_news, self._older = self._older is not None, None
            if is_news and not isinstance(error, RemoteNotFound | RemoteFull):  # which say nothing of copies
                self._refused(error)
            return False
        self._copied(length)
        return True

    async def write(self, offset: int, data: memoryview | bytes) -> None:
        """See `RemoteFile`."""
        await self._file.write(offset, data)

    async def finish(self) -> None:
        """See `RemoteFile`."""
        await self._file.finish()

    async def write_whole(self, data: memoryview | bytes) -> None:
        """See `RemoteFile`."""
        await self._file.write_whole(data)
