"""The index at an archive's end: what each segment is and holds, and the footer that says where to find it.

All of it lives in the extra fields of empty gzip members, so that tar and gunzip see nothing. On the disk:

    data members | index members (tag AI) | footer member (tag AF, of fixed size)

The payloads of the index members, one after another, are the segments in order: `SEGMENT`, then that many
bytes of member records, deflated. All numbers are little-endian; every length is in bytes.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from async_backup.archive.deflate import ZLIB, deflate
from async_backup.archive.gzip import EXTRA_LIMIT, EXTRA_OVERHEAD, extra_member, read_extra_member

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.archive.member import Meta

FORMAT = 1
INDEX_TAG = b"AI"
FOOTER_TAG = b"AF"
PIECE = b"+"
"""Type of the record of a large file's payload, or a part of it."""
CHANGED = 1
"""Flag of a record: what is stored is not the file as it was at any one moment."""

_MAGIC = b"async-backup"
# type, flags; mode, uid, gid; size, mtime_ns, ctime_ns, inode, offset; lengths of path and link
_MEMBER = struct.Struct("<cBHIIQqqQQHH")
_CTIME, _OFFSET = 7, 9
"""Places among these."""
# offset, length, raw length; SHA-256 of the member's bytes; members, bytes of records
_SEGMENT = struct.Struct("<QQQ32sII")
# magic, format, flags; offset, length and CRC-32 of the index members; segments, members, raw length of the tar
_FOOTER = struct.Struct("<12sBBQQIIQQ")
_INCOMPLETE, _NO_XATTRS = 1, 2
"""Flags of a footer."""
_CRC = struct.Struct("<I")  # of the footer's other fields
FOOTER_SIZE = EXTRA_OVERHEAD + _FOOTER.size + _CRC.size
_PIECE_ROOM = 128 << 10
"""Bytes that the one record of a piece may have: two names of 64 KiB, though no link goes with it."""

_NO_FOOTER = "it has no index of async-backup at its end: another program made it, or it was cut"
_LATEST = 2**63 - 1
"""Nanoseconds that a time can hold, up to the year 2262; file systems and tar go on."""


class Member(NamedTuple):
    """One record: a member and where its header begins in the segment, or a piece and its offset in the payload.

    The payload of a file without holes is the file; of a sparse one it is the data between its holes, without the map.
    The size of a sparse file is that with its holes.
    """

    path: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    offset: int
    link: bytes
    flags: int


PackedRecord = tuple[bytes, int, int]
"""A record, and its offset and ctime (nanoseconds)."""


class Segment(NamedTuple):
    """One gzip member of the archive; `members` is the number of headers in it."""

    offset: int
    length: int
    raw_length: int
    sha256: bytes
    members: int
    records: bytes

    def listing(self) -> Iterator[Member]:
        """The members whose headers stand in this segment, or the one piece; raises ValueError where damaged."""
        data = self._inflated()
        for start, middle, end, fields in _records_in(data):
            kind, flags, *numbers, _, _ = fields
            yield Member._make((data[start + _MEMBER.size : middle], kind, *numbers, data[middle:end], flags))

    def packed_listing(self) -> Iterator[PackedRecord]:
        """As `listing`, each as `member_record` has it: what can be compared without taking it apart."""
        data = self._inflated()
        for start, _, end, fields in _records_in(data):
            yield data[start:end], fields[_OFFSET], fields[_CTIME]

    def _inflated(self) -> bytes:
        # A path stands in its header too, so records are hardly longer than the segment itself.
        most = self.raw_length + _MEMBER.size * self.members + _PIECE_ROOM
        try:
            inflating = zlib.decompressobj()
            data = inflating.decompress(self.records, most)
        except (zlib.error, OverflowError) as error:  # the latter from a length that no segment has
            raise ValueError(f"the index is damaged: {error}") from error
        if not inflating.eof and self.records:
            raise ValueError("the index is damaged: the records of a segment are longer than it, or cut short")
        return data

    def known(self) -> list[Member]:
        """As `listing`, as far as that goes."""
        found: list[Member] = []
        with suppress(ValueError):
            found.extend(self.listing())
        return found

    @property
    def is_piece(self) -> bool:
        """Whether the segment holds payload of a large file, and no header."""
        return self.members == 0 and bool(self.records)


class Footer(NamedTuple):
    """The last bytes of an archive: without a whole one it is not known to be complete."""

    index_offset: int
    index_length: int
    index_crc: int
    segments: int
    members: int
    raw_length: int
    is_incomplete: bool = False
    """Whether something that belongs into the archive could not be read when it was made."""
    has_no_xattrs: bool = False
    """Whether extended attributes were left out on purpose."""


def member_record(path: bytes, meta: Meta, link: bytes, offset: int, flags: int = 0) -> bytes:
    """The record of a member whose header begins at `offset` of the segment's raw bytes.

    Times outside the years 1677 to 2262 are recorded as the nearest one inside.
    """
    kind, mode, uid, gid, size, mtime, ctime, _, inode, _ = meta
    if not -_LATEST < mtime < _LATEST or ctime > _LATEST:
        mtime, ctime = max(-_LATEST, min(mtime, _LATEST)), min(ctime, _LATEST)
    length = len(path)
    head = _MEMBER.pack(kind, flags, mode, uid, gid, size, mtime, ctime, inode, offset, length, len(link))
    return head + path + link


def piece_record(path: bytes, meta: Meta, offset: int, length: int, flags: int = 0) -> bytes:
    """The record of a segment that holds `length` bytes of a large file's payload from `offset` on."""
    return member_record(path, piece_meta(meta, length), b"", offset, flags)


def piece_meta(meta: Meta, length: int) -> Meta:
    """That of a piece of `length` bytes of a large file."""
    return meta._replace(type=PIECE, size=length)


def pack_records(records: list[bytes]) -> bytes:
    """The records of one segment as the index holds them."""
    return deflate(b"".join(records), 1, ZLIB) if records else b""


def _records_in(data: bytes) -> Iterator[tuple[int, int, int, tuple[Any, ...]]]:
    """Of each record where it, its link and the next one begin, and its fields."""
    start = 0
    while start < len(data):
        fields = _unpacked(_MEMBER, data, start)
        middle = start + _MEMBER.size + fields[-2]
        end = middle + fields[-1]
        if end > len(data):
            raise ValueError("the index is damaged: a record is cut short")
        yield start, middle, end, fields
        start = end


def _unpacked(layout: struct.Struct, data: bytes, position: int) -> tuple[Any, ...]:
    if position + layout.size > len(data):
        raise ValueError("the index is damaged: a record is cut short")
    return layout.unpack_from(data, position)


class IndexWriter:
    """Makes the index members and the footer from segments as they come; holds at most one member's payload."""

    def __init__(self) -> None:
        self._payload = bytearray()
        self._length = 0
        self._crc = 0
        self._segments = 0
        self._members = 0
        self._raw_length = 0

    def add(self, segment: Segment) -> bytes:
        """The index members that became full with this segment, often none."""
        self._payload += _SEGMENT.pack(*segment[:5], len(segment.records)) + segment.records
        self._segments += 1
        self._members += segment.members
        self._raw_length += segment.raw_length
        members = []
        while len(self._payload) >= EXTRA_LIMIT:
            members.append(self._member(EXTRA_LIMIT))
        return b"".join(members)

    def finish(self, offset: int, *, is_incomplete: bool = False, has_no_xattrs: bool = False) -> bytes:
        """The rest of the index and the footer, for an index that begins at `offset` of the archive."""
        rest = self._member(len(self._payload)) if self._payload else b""
        numbers = offset, self._length, self._crc, self._segments, self._members, self._raw_length
        flags = _INCOMPLETE * is_incomplete | _NO_XATTRS * has_no_xattrs
        fields = _FOOTER.pack(_MAGIC, FORMAT, flags, *numbers)
        return rest + extra_member(FOOTER_TAG, fields + _CRC.pack(zlib.crc32(fields)))

    def _member(self, length: int) -> bytes:
        member = extra_member(INDEX_TAG, bytes(self._payload[:length]))
        del self._payload[:length]
        self._length += len(member)
        self._crc = zlib.crc32(member, self._crc)
        return member


def read_footer(tail: bytes) -> Footer:
    """The footer from an archive's last `FOOTER_SIZE` bytes.

    Raises ValueError where none stands there: the archive is cut, or another program made it.
    """
    try:
        payload, end = read_extra_member(tail, max(len(tail) - FOOTER_SIZE, 0), FOOTER_TAG)
    except ValueError as error:
        raise ValueError(_NO_FOOTER) from error
    if end != len(tail) or not payload.startswith(_MAGIC):
        raise ValueError(_NO_FOOTER)
    version, flags = payload[len(_MAGIC) : len(_MAGIC) + 2]
    if version != FORMAT:
        raise ValueError(f"the index has format {version}, this program reads {FORMAT}: a newer one is needed")
    fields, crc = payload[: -_CRC.size], payload[-_CRC.size :]
    if len(fields) != _FOOTER.size or crc != _CRC.pack(zlib.crc32(fields)):
        raise ValueError("the footer is damaged: its checksum differs")
    return Footer._make((*_FOOTER.unpack(fields)[3:], bool(flags & _INCOMPLETE), bool(flags & _NO_XATTRS)))


def read_index(footer: Footer, data: bytes) -> Iterator[Segment]:
    """The segments from the bytes of the index members; raises ValueError where they are damaged."""
    if len(data) != footer.index_length or zlib.crc32(data) != footer.index_crc:
        raise ValueError("the index is damaged: its checksum differs")
    payload = _joined_payloads(data)
    position = 0
    while position < len(payload):
        *fields, length = _unpacked(_SEGMENT, payload, position)
        position += _SEGMENT.size + length
        if position > len(payload):
            raise ValueError("the index is damaged: a segment is cut short")
        yield Segment._make((*fields, payload[position - length : position]))


def _joined_payloads(data: bytes) -> bytes:
    parts = []
    position = 0
    while position < len(data):
        part, position = read_extra_member(data, position, INDEX_TAG)
        parts.append(part)
    return b"".join(parts)
