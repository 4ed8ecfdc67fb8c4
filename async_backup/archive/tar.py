"""Reads tar member by member: v7, ustar, pax and GNU, with the extensions that GNU tar, bsdtar and star write.

The archive may be damaged or made to do harm: whatever stands in it, either members come out whose fields are in
range, or `DamagedTar` is raised. Extended headers of more than `HELPERS_LIMIT` bytes are refused; parsed, they take
up to 15 times that (measured: 930,000 empty attributes). Paths and links are as they stand in the archive: whoever
uses them has to keep them inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from async_backup.archive import sparse_maps
from async_backup.archive.header import BLOCK_SIZE
from async_backup.archive.member import REGULAR
from async_backup.archive.pax import SPARSE_KEYWORDS, SPARSE_MAP, records, to_decimal
from async_backup.archive.tar_block import (
    CONTINUED,
    GLOBAL_PAX,
    LONG_LINK,
    LONG_PATH,
    OLD_SPARSE,
    PAX,
    SOLARIS_PAX,
    VOLUME_LABEL,
    WITHOUT_PAYLOAD,
    ZERO_BLOCK,
    split,
    to_size,
)
from async_backup.archive.tar_member import Helpers, Sparse, TarMember, assembled, long_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from async_backup.archive.tar_block import Fields

__all__ = ["HELPERS_LIMIT", "Buffer", "DamagedTar", "Source", "Sparse", "TarMember", "TarReader"]

HELPERS_LIMIT = 16 << 20
"""Bytes of extended headers and long names that may stand before one member."""

_STEP = 1 << 20
_OTHER_VOLUME = "the archive has several volumes, and this is not the first one"
_NO_MEMBERS = {GLOBAL_PAX, VOLUME_LABEL}
"""Helpers that may stand alone: they belong to the archive, not to the member that follows."""


class DamagedTar(ValueError):
    """The stream is no tar archive, or not a whole one; the text says what is wrong and at which byte."""


class Source(Protocol):
    """A stream of bytes."""

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end of the stream."""


class Buffer:
    """A source over bytes that are all there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def read(self, size: int) -> bytes:
        start = self._offset
        piece = self._data[start : start + size]
        self._offset = start + len(piece)
        return piece


class TarReader:
    """The members of one tar stream, in its order. After `DamagedTar` it is of no more use.

    `offset` is the position in the stream, in bytes; `is_complete` says whether the two zero blocks that end an
    archive were seen.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._globals: dict[bytes, bytes] = {}
        self._globals_room = HELPERS_LIMIT
        self._member: TarMember | None = None
        self._payload_start = self._payload_end = self._next = 0
        self._is_at_end = False
        # The header blocks of extended headers are often the same for many members.
        self._helper_block = b""
        self._helper: Fields | None = None
        self.offset = 0
        self.is_complete = False

    def next(self) -> TarMember | None:
        """The next member, after what is left of the payload of the one before; its own payload follows.

        None at the end of the archive, and where the stream ends between members or between a header and its
        payload: that of a large file stands in segments of its own. Raises DamagedTar.
        """
        if self._is_at_end or (self.offset != self._next and not self._skip_rest()):
            self._member = None
            return None
        start = self.offset
        try:
            self._member = self._read_member(start)
        except ValueError as error:
            raise DamagedTar(f"at byte {start}: {error}") from error
        return self._member

    def take(self, member: TarMember) -> bytes:
        """All that is left of the payload of the member that `next` returned last, at once. Raises DamagedTar."""
        self._expect(member)
        size = self._payload_end - self.offset
        data = self._read_payload(size) if size > 0 else b""
        self._skip_rest()
        return data

    def payload(self, member: TarMember, step: int = _STEP) -> Iterator[bytes]:
        """The same in pieces of at most `step` bytes."""
        self._expect(member)
        while (size := self._payload_end - self.offset) > 0:
            yield self._read_payload(min(size, step))
            self._expect(member)
        self._skip_rest()

    def _expect(self, member: TarMember) -> None:
        if member is not self._member:
            raise RuntimeError(f"the reader does not stand at the payload of {member.path!r}")

    def _read_payload(self, size: int) -> bytes:
        data = self._read(size)
        if len(data) < size:
            raise self._cut_short()
        return data

    def _skip_rest(self) -> bool:
        """Go to the next header; False where the stream ends and holds nothing of the payload."""
        while size := self._next - self.offset:
            if not self._read(min(size, _STEP)):
                if self.offset == self._payload_start:
                    return False
                raise self._cut_short()
        return True

    def _cut_short(self) -> DamagedTar:
        missing = self._next - self.offset
        return DamagedTar(f"at byte {self.offset}: the stream ends, {missing} bytes of a member are missing")

    def _read(self, size: int) -> bytes:
        data = self._source.read(size)
        self.offset += len(data)
        return data

    def _read_member(self, start: int) -> TarMember | None:
        helpers = Helpers()
        while block := self._header(start):
            fields = (self._helper if block == self._helper_block else None) or split(block)
            kind = fields[-1].kind
            if fields[-1].type:
                return self._finished(start, block, fields, helpers)
            self._helper_block, self._helper = block, fields
            is_first = self.offset == start + BLOCK_SIZE
            self._take_helper(kind, self._helper_data(fields[2], start), helpers)
            if is_first and kind in _NO_MEMBERS:
                start = self.offset
        return None

    def _header(self, start: int) -> bytes:
        """The next block; empty where the archive ends, which it may only do at `start`."""
        block = self._read(BLOCK_SIZE)
        if len(block) == BLOCK_SIZE and block != ZERO_BLOCK:
            return block
        if len(block) % BLOCK_SIZE or self.offset - len(block) != start:
            raise ValueError("the stream ends inside the headers of a member")
        self._is_at_end = True
        if block:
            self.is_complete = self._is_end_confirmed()
        return b""

    def _is_end_confirmed(self) -> bool:
        block = self._read(BLOCK_SIZE)
        if block.strip(b"\0"):
            raise ValueError("a block of zeros stands where a header should")
        return len(block) == BLOCK_SIZE

    def _block(self) -> bytes:
        block = self._read(BLOCK_SIZE)
        if len(block) < BLOCK_SIZE:
            raise ValueError("the stream ends inside a sparse map")
        return block

    def _helper_data(self, size_field: bytes, start: int) -> bytes:
        size = to_size(size_field)
        if size > HELPERS_LIMIT - (self.offset - start):
            raise ValueError(f"the headers of a member are longer than {HELPERS_LIMIT} bytes")
        whole = (size + BLOCK_SIZE - 1) // BLOCK_SIZE * BLOCK_SIZE
        data = self._read(whole)
        if len(data) < whole:
            raise ValueError("the stream ends inside an extended header")
        return data[:size]

    def _take_helper(self, kind: bytes, data: bytes, helpers: Helpers) -> None:
        if kind in {PAX, SOLARIS_PAX}:
            helpers.add_records(data)
        elif kind == LONG_PATH:
            helpers.long_path = long_name(data)
        elif kind == LONG_LINK:
            helpers.long_link = long_name(data)
        elif kind == GLOBAL_PAX:
            self._take_globals(data)
        elif kind == CONTINUED:
            raise ValueError(_OTHER_VOLUME)

    def _take_globals(self, data: bytes) -> None:
        self._globals_room -= len(data)
        if self._globals_room < 0:
            raise ValueError(f"the global headers are longer than {HELPERS_LIMIT} bytes")
        self._globals |= records(data)
        if b"GNU.volume.filename" in self._globals:
            raise ValueError(_OTHER_VOLUME)

    def _finished(self, start: int, block: bytes, fields: Fields, helpers: Helpers) -> TarMember:
        """The member whose own header is read; places the reader at its payload."""
        member = assembled(start, fields, helpers, self._globals)
        kind = fields[-1].kind
        if member.type == REGULAR and (kind == OLD_SPARSE or not SPARSE_KEYWORDS.isdisjoint(helpers.values)):
            member = self._with_map(member, block, kind, helpers.values)
        carried = 0 if kind in WITHOUT_PAYLOAD else member.size
        if member.size and member.type != REGULAR:
            member = member._replace(size=0)
        self._payload_start = self.offset
        self._payload_end = self.offset + member.size
        self._next = self.offset + (carried + BLOCK_SIZE - 1) // BLOCK_SIZE * BLOCK_SIZE
        return member

    def _with_map(self, member: TarMember, block: bytes, kind: bytes, values: Mapping[bytes, bytes]) -> TarMember:
        """The member with its sparse map, which may stand in further blocks."""
        payload = member.size
        if kind == OLD_SPARSE:
            pairs, real_size = sparse_maps.old_gnu(block, self._block)
        else:
            real_size = to_decimal(values.get(b"GNU.sparse.realsize") or values.get(b"GNU.sparse.size", b""))
            start = self.offset
            pairs = self._pax_map(values)
            payload -= self.offset - start
        extents = sparse_maps.checked(pairs, real_size, payload)
        return member._replace(size=payload, sparse=Sparse(real_size, extents))

    def _pax_map(self, values: Mapping[bytes, bytes]) -> sparse_maps.Pairs:
        version = values.get(b"GNU.sparse.major", b"0"), values.get(b"GNU.sparse.minor", b"0")
        if version == (b"1", b"0"):
            return sparse_maps.from_payload(self._block)
        if version[0] != b"0":
            raise ValueError(f"sparse files of version {version[0][:9]!r} are not known")
        return sparse_maps.from_text(values.get(SPARSE_MAP, b""))
