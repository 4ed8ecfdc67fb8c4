"""Reading a file that may be written to meanwhile: what is read belongs together, or it is said that it does not."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from async_backup.archive.member import REGULAR, Meta, Replaced, meta_of
from async_backup.archive.sparse import extents, may_have_holes, sparse_of
from async_backup.archive.xattrs import NO_XATTRS, Xattrs, xattrs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.archive.sparse import Extent

REREADS = 3
"""How often a file is read again that changed while it was read."""

FREE_XATTRS = 1024
"""Bytes of extended attributes that a file may have without taking from the room of its segment: the plan counts more
for its headers than they are once they are compressed."""


Content = tuple[Meta, bytes, bool, Xattrs, str]
"""A whole file as it was read: its metadata, with the size that it has when it is restored; its payload, and whether
that is sparse; its extended attributes; how it changed under every reading or that it was cut, or nothing.

A plain tuple: there is one for every file.
"""


def read_file(descriptor: int, planned: int, room: int, *, xattrs: bool) -> Content:
    """Read an open file of about `planned` bytes.

    One that has over `room` more is cut to what was planned; what is left of `room` and `FREE_XATTRS` bounds the
    extended attributes. Raises OSError, and Replaced where it is no regular file.
    """
    rereads = 0
    before = os.fstat(descriptor)
    while True:
        meta = meta_of(before)
        if meta is None or meta.type != REGULAR:
            raise Replaced
        size, limit = meta.size, room + FREE_XATTRS
        if size > planned:
            size = size if size - planned <= room else planned
            limit -= size - planned
        attributes = xattrs_of(descriptor, limit) if xattrs else NO_XATTRS
        sparse = _sparse_payload(descriptor, size) if may_have_holes(before) else None
        payload, found = sparse or _payload(descriptor, size)
        after = os.fstat(descriptor)
        if found == size == meta.size and is_same(before, after):
            return meta, payload, sparse is not None, attributes, ""
        if rereads == REREADS:
            break
        before, rereads = after, rereads + 1
    change = _change(meta.size, size, planned, found, after.st_size)
    meta = meta._replace(size=size if sparse else len(payload))
    return meta, payload, sparse is not None, attributes, change


def _change(before: int, wanted: int, planned: int, found: int, after: int) -> str:
    if wanted < before:
        return size_change(planned, before)
    return size_change(before, after if after != before else found)


def _payload(descriptor: int, size: int) -> tuple[bytes, int]:
    """`size` bytes of a file, fewer where it ends before, and how many there were: one more says that it has grown."""
    data = os.pread(descriptor, size + 1, 0)
    if len(data) < size:
        data = _read_on(descriptor, data, 0, size + 1)
    return data[:size], len(data)


def _sparse_payload(descriptor: int, size: int) -> tuple[bytes, int] | None:
    """The same as a map and the data between the holes; None where there are no holes to speak of."""
    parts = extents(descriptor, size)
    sparse = sparse_of(parts, size)
    if sparse is None:
        return None
    data, missing = read_parts(descriptor, parts)
    return sparse.map + data, size - missing


def read_piece(descriptor: int, parts: Sequence[Extent], planned: Meta) -> tuple[bytes, str]:
    """Some parts of a large file, zeros in the place of what is not there, and how it differs from the plan.

    Raises OSError, and Replaced where it is another file.
    """
    after = os.fstat(descriptor)
    if (after.st_dev, after.st_ino) != planned.identity or not stat.S_ISREG(after.st_mode):
        raise Replaced
    for _ in range(1 + REREADS):
        before = after
        data, missing = read_parts(descriptor, parts)
        after = os.fstat(descriptor)
        if is_same(before, after):
            break
    is_as_planned = (after.st_size, after.st_mtime_ns) == (planned.size, planned.mtime_ns)
    if is_as_planned and not missing and is_same(before, after):
        return data, ""
    return data, size_change(planned.size, after.st_size - missing if is_as_planned else after.st_size)


def read_parts(descriptor: int, parts: Sequence[Extent]) -> tuple[bytes, int]:
    """The parts one after another, and how many bytes of them are zeros because nothing could be read."""
    pieces, missing = [], 0
    for offset, length in parts:
        data = _read_on(descriptor, b"", offset, length)
        missing += length - len(data)
        pieces.append(data.ljust(length, b"\0"))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces), missing


def _read_on(descriptor: int, data: bytes, offset: int, length: int) -> bytes:
    """The bytes from `offset` on, of which `data` are the first ones: `length` ones, or what there is."""
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def is_same(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether nothing was done to a file between two looks at it."""
    return (
        before.st_ctime_ns == after.st_ctime_ns
        and before.st_mtime_ns == after.st_mtime_ns
        and before.st_size == after.st_size
    )


def size_change(before: int, after: int) -> str:
    """A word for a change of the size, in bytes."""
    if before == after:
        return "it was written to while it was read"
    verb = "shrank" if after < before else "grew"
    return f"it {verb} while it was read ({before} bytes, then {after})"
