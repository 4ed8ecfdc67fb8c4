"""An archive without an index: read from its beginning to its end, as tar would."""

from __future__ import annotations

import io
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from async_backup.archive.tar import DamagedTar, TarReader
from async_backup.unpack.extents import placed
from async_backup.unpack.gunzip import CutGzip, DamagedGzip, Gunzip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from async_backup.archive.tar import TarMember
    from async_backup.unpack.members import Unpacker

SMALL = 1 << 20
"""Bytes of a file that is written in one go."""

_BUFFER = 1 << 20
_STREAM_ERRORS = (DamagedGzip, DamagedTar)

SUSPECTS_KEPT = 1000
"""Members restored last that are remembered until the checksum of their bytes was seen to be right."""


class DamagedStream(ValueError):
    """The stream cannot be read any further."""


class CutStream(DamagedStream):
    """The stream ends before it should."""


class TarGzStream:
    """The members of a `.tar.gz` that comes from `raw`, whose `readinto` may wait for the network.

    With `keeps_parts` a large file of which the stream holds the beginning alone is restored as far as that goes.
    """

    def __init__(self, raw: io.RawIOBase, *, keeps_parts: bool = False) -> None:
        self._keeps_parts = keeps_parts
        self._gzip = Gunzip(io.BufferedReader(raw, _BUFFER))
        self._reader = TarReader(self._gzip)
        self._unverified: deque[tuple[int, bytes]] = deque(maxlen=SUSPECTS_KEPT)
        self.members = 0
        """How many have been read to their ends."""

    def read_to_end(self) -> None:
        """Read all members and restore none; raises DamagedStream, of which CutStream is one."""
        with self._damage_told():
            for _ in self._members():
                pass

    def restore(self, unpacker: Unpacker, is_wanted: Callable[[TarMember], bool]) -> Iterator[TarMember]:
        """Restore members one after another, and yield each of them afterwards.

        Raises DamagedStream where it cannot go on, or where the end is missing: what was yielded is there.
        """
        with self._damage_told():
            for member in self._members():
                if is_wanted(member):
                    self._restore_member(unpacker, member)
                    self._unverified.append((self._reader.offset, member.path))
                    yield member

    def suspects(self) -> list[bytes]:
        """After damage: members restored whose bytes nobody has vouched for, the last ones at least."""
        return [path for end, path in self._unverified if end > self._gzip.verified]

    def _members(self) -> Iterator[TarMember]:
        begun = 0
        while (member := self._reader.next()) is not None:
            self.members, begun = begun, begun + 1
            yield member
        self.members = begun
        if not self._reader.is_complete:
            raise CutStream("its end is missing")
        while self._gzip.read(_BUFFER):
            pass  # the checksums of what follows the last member count too

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except _STREAM_ERRORS as error:
            raise (CutStream if self._is_cut(error) else DamagedStream)(str(error)) from error

    def _is_cut(self, error: Exception) -> bool:
        try:
            return isinstance(error, CutGzip) or (isinstance(error, DamagedTar) and not self._gzip.read(1))
        except _STREAM_ERRORS as next_error:
            return isinstance(next_error, CutGzip)

    def _restore_member(self, unpacker: Unpacker, member: TarMember) -> None:
        if member.size <= SMALL:
            unpacker.put(member, self._reader.take(member) if member.size else b"")
            return
        file = unpacker.begin_file(member)
        if file is None:
            return
        position, is_written = 0, True
        try:
            for data in self._reader.payload(member):
                is_written = is_written and unpacker.write(file, placed(member, position, data))
                position += len(data)
        except _STREAM_ERRORS:
            if self._keeps_parts and is_written and position:
                unpacker.keep_part(file, position)
            else:
                unpacker.discard(file)
            raise
        except BaseException:
            with suppress(OSError):
                unpacker.discard(file)
            raise
        if is_written:
            unpacker.finish_file(file)
        else:
            unpacker.discard(file)
