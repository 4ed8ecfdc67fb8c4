"""Files with holes, stored as GNU tar's sparse format 1.0: the payload is a map of the data, then the data.

The map is text: the number of its entries, then offset and length of each, a line each, filled up to whole blocks; a
last entry of length 0 stands at the file's end. Two pax records say that it is there and how large the file is.

GNU tar 1.34, bsdtar 3.6.2 and Python's tarfile restore it. busybox 1.35 and 7-Zip 26.02 take it for an ordinary file;
for their sake the member is called `GNUSparseFile.0/NAME` and the true path stands in `GNU.sparse.name`, so that
nobody takes it for the file itself. A path that is not UTF-8 cannot stand there: raw, bsdtar complains of it, and under
`hdrcharset=BINARY` GNU tar does. Without that record all three take the member's own path, so such a file has its
true path in the ordinary places (see `header`).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.header import BLOCK_SIZE, header, is_utf8, padding, pax_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backup.archive.member import Meta

Extent = tuple[int, int]
"""Offset and length of data in a file."""

EXTENT_LIMIT = 65_536
LEAST_HOLE = 4096
"""Bytes; what is shorter is stored as zeros."""
OCTAL_LIMIT = 8 << 30
"""Bytes from which on a size does not fit into a header's octal digits."""

_ARE_FOUND = hasattr(os, "SEEK_DATA")
_VERSION = pax_record(b"GNU.sparse.major", b"1") + pax_record(b"GNU.sparse.minor", b"0")


class Sparse(NamedTuple):
    """How a file with holes is stored: its map, in whole blocks, and the size of its payload, map and data."""

    map: bytes
    stored: int


def may_have_holes(status: os.stat_result) -> bool:
    """Whether a file takes fewer blocks than its size needs."""
    return _ARE_FOUND and status.st_blocks * 512 < status.st_size


def extents(descriptor: int, size: int, limit: int = EXTENT_LIMIT) -> list[Extent]:
    """Where a file of `size` bytes has data, in order, in at most `limit` pieces.

    Where there were more, the shortest holes count as data, so memory does not depend on the file. Raises OSError.
    """
    found: list[Extent] = []
    gap, offset = LEAST_HOLE, 0
    while offset < size:
        start, end = _next_data(descriptor, offset, size)
        if start >= size:
            break
        _append(found, start, end, gap)
        while len(found) > limit:
            gap *= 2
            found = _merged(found, gap)
        offset = end
    return found


def _next_data(descriptor: int, offset: int, size: int) -> Extent:
    """Begin and end of the data at or after `offset`; `size` twice where there is none."""
    try:
        start = os.lseek(descriptor, offset, os.SEEK_DATA)
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a hole up to the end, or the file was cut meanwhile
            return size, size
        if error.errno in {errno.EINVAL, errno.EOPNOTSUPP}:
            return offset, size
        raise
    return start, min(max(end, start + 1), size)


def _append(found: list[Extent], start: int, end: int, gap: int) -> None:
    if found and start - sum(found[-1]) < gap:
        start = found.pop()[0]
    found.append((start, end - start))


def _merged(found: list[Extent], gap: int) -> list[Extent]:
    fewer: list[Extent] = []
    for start, length in found:
        _append(fewer, start, start + length, gap)
    return fewer


def data_size(parts: Sequence[Extent]) -> int:
    """How many bytes of data there are."""
    return sum(length for _, length in parts)


def sparse_of(parts: list[Extent], size: int) -> Sparse | None:
    """How to store a file of `size` bytes with its data in `parts`; None where it has no hole to speak of."""
    data = data_size(parts)
    if data + LEAST_HOLE > size:
        return None
    numbers = [len(parts) + 1, *(number for part in parts for number in part), size, 0]
    text = b"".join(b"%d\n" % number for number in numbers)
    mapped = text + padding(len(text))
    return Sparse(mapped, len(mapped) + data)


def sparse_header(path: bytes, meta: Meta, stored: int, extra: bytes = b"") -> bytes:
    """The header blocks of a sparse member of `meta.size` bytes, whose payload has `stored` ones."""
    records = _VERSION + pax_record(b"GNU.sparse.realsize", b"%d" % meta.size)
    shown = path
    if is_utf8(path):
        directory, slash, name = path.rpartition(b"/")
        shown = b"%b%bGNUSparseFile.0/%b" % (directory, slash, name)
        records += pax_record(b"GNU.sparse.name", path)  # after the path: Python takes the last one
    if stored < OCTAL_LIMIT:
        return header(shown, meta._replace(size=stored), extra=extra + records)
    return _with_size(header(shown, meta._replace(size=0), extra=extra + records), stored)


def _with_size(blocks: bytes, size: int) -> bytes:
    """A header with a size in GNU's binary form: of a sparse file with a pax record `size` Python loses the end."""
    block = bytearray(blocks[-BLOCK_SIZE:])
    block[124:136] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return blocks[:-BLOCK_SIZE] + block


def slices(parts: list[Extent], step: int) -> Iterator[tuple[Extent, ...]]:
    """The data cut into pieces of `step` bytes and a rest."""
    piece: list[Extent] = []
    room = step
    for start, length in parts:
        offset, end = start, start + length
        while offset < end:
            taken = min(end - offset, room)
            piece.append((offset, taken))
            offset, room = offset + taken, room - taken
            if not room:
                yield tuple(piece)
                piece, room = [], step
    if piece:
        yield tuple(piece)
