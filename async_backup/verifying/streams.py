"""An archive without an index of ours: decompressed and read as tar would, from its beginning to its end."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

from anyio import from_thread, to_thread

from async_backup.remote.ahead import read_ahead
from async_backup.unpack.stream import CutStream, DamagedStream, TarGzStream

if TYPE_CHECKING:
    from async_backup.remote.base import RemoteReader
    from async_backup.verifying.hashing import Hasher

_BLOCK = 1 << 20


class StreamState(NamedTuple):
    """What the stream turned out to be: how many members can be read for sure, and what is wrong, if anything.

    It `is_cut` where it ends too early.
    """

    members: int
    damage: str = ""
    is_cut: bool = False


class _Hashed(io.RawIOBase):
    """A stream whose bytes are hashed as they pass."""

    def __init__(self, raw: io.RawIOBase, hasher: Hasher) -> None:
        super().__init__()
        self._raw = raw
        self._hasher = hasher

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a Buffer is all that it may be given
        size = self._raw.readinto(buffer) or 0
        self._hasher.update(memoryview(buffer)[:size])
        from_thread.run_sync(self._hasher.tell, size)
        return size


async def check_stream(reader: RemoteReader, hasher: Hasher) -> StreamState:
    """Read all bytes of an archive, and say whether they are a whole tar stream; raises RemoteError."""
    async with read_ahead(reader) as raw:
        return await to_thread.run_sync(_check, _Hashed(raw, hasher))


def _check(raw: io.RawIOBase) -> StreamState:
    stream = TarGzStream(raw)
    try:
        stream.read_to_end()
    except DamagedStream as error:
        while raw.read(_BLOCK):
            pass  # the digest is that of all bytes
        return StreamState(stream.members, str(error), isinstance(error, CutStream))
    return StreamState(stream.members)
