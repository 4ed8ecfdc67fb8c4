"""Reading a file that may be written to meanwhile: what is read belongs together, or it is said that it does not."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from async_backup.archive.member import REGULAR, Meta, ProblemKind, Replaced, meta_of
from async_backup.archive.sparse import extents, may_have_holes, sparse_of
from async_backup.archive.xattrs import NO_XATTRS, Xattrs, xattrs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.archive.sparse import Extent

REREADS = 3
"""How often a file is read again that changed while it was read."""

STATUS_CHANGE = "its status changed while it was read, and nothing tells whether that was all"
"""Only the ctime of a large file differs: mode, owner or number of names; or its content, with the mtime put back."""

REST = 20_000_000
"""Nanoseconds that the last change of a file has to lie back, so that a further one would show: a write sets the times
before it is done, and two in one tick of the kernel's clock, of 10 ms at most, set the same."""

COARSE_REST = 2_000_000_000
"""The same where times are told in whole seconds, as by FAT in every second one."""

FREE_XATTRS = 1024
"""Bytes of extended attributes that a file may have without taking from the room of its segment: the plan counts more
for its headers than they are once they are compressed."""


Change = tuple[ProblemKind, str]
"""What became of a file while it was read, and how that is said."""

Content = tuple[Meta, bytes, bool, Xattrs, Change | None]
"""A whole file as it was read: its metadata, with the size that it has when it is restored; its payload, and whether
that is sparse; its extended attributes; how it changed under every reading or that it was cut, or None.

A plain tuple: there is one for every file.
"""


def read_file(descriptor: int, planned: int, room: int, *, xattrs: bool) -> Content:
    """Read an open file of about `planned` bytes.

    One that has over `room` more is cut to what was planned; what is left of `room` and `FREE_XATTRS` bounds the
    extended attributes. Raises OSError, and Replaced where it is no regular file.
    """
    rereads = 0
    before, is_at_rest = _at_rest(descriptor)
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
        if is_at_rest and found == size == meta.size and is_same(before, after):
            return meta, payload, sparse is not None, attributes, None
        if rereads == REREADS:
            break
        rereads += 1
        before, is_at_rest = _at_rest(descriptor)
    change = _change(meta.size, size, planned, found, after.st_size)
    meta = meta._replace(size=size if sparse else len(payload))
    return meta, payload, sparse is not None, attributes, change


def _change(before: int, wanted: int, planned: int, found: int, after: int) -> Change:
    if wanted < before:
        return ProblemKind.CUT, f"{size_change(planned, before)}, and only its beginning is here"
    return ProblemKind.CHANGED, size_change(before, after if after != before else found)


def _at_rest(descriptor: int) -> tuple[os.stat_result, bool]:
    """The status of a file, and whether a further change would show in it, which is waited for once."""
    status = os.fstat(descriptor)
    if not (wait := _until_rest(status)):
        return status, True
    time.sleep(wait / 1e9)
    status = os.fstat(descriptor)
    return status, not _until_rest(status)


def _until_rest(status: os.stat_result) -> int:
    """Nanoseconds; none for a time in the future, which another clock wrote."""
    age = time.time_ns() - status.st_ctime_ns
    if age >= COARSE_REST or age < 0:
        return 0
    return max(0, rest_after(status.st_ctime_ns) - age)


def rest_after(ctime_ns: int) -> int:
    """Nanoseconds after a change in which a further one may not show."""
    return REST if ctime_ns % 1_000_000_000 else COARSE_REST


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
    for _ in range(1 + REREADS):
        before, is_at_rest = _at_rest(descriptor)
        if (before.st_dev, before.st_ino) != planned.identity or not stat.S_ISREG(before.st_mode):
            raise Replaced
        data, missing = read_parts(descriptor, parts)
        after = os.fstat(descriptor)
        is_whole = is_at_rest and is_same(before, after)
        if is_whole:
            break
    is_as_planned = (after.st_size, after.st_mtime_ns) == (planned.size, planned.mtime_ns)
    if is_as_planned and not missing and is_whole:
        return data, "" if after.st_ctime_ns == planned.ctime_ns else STATUS_CHANGE
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
