"""One header block of tar, as v7, ustar, pax and GNU tar write it: its fields, its numbers and its checksum."""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from typing import NamedTuple
from zlib import adler32

from async_backup.archive.header import BLOCK_SIZE
from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY, FIFO, HARD_LINK, REGULAR, SYMLINK

ZERO_BLOCK = bytes(BLOCK_SIZE)
PAX, SOLARIS_PAX, GLOBAL_PAX = b"x", b"X", b"g"
LONG_PATH, LONG_LINK = b"L", b"K"
VOLUME_LABEL, CONTINUED, SOLARIS_ACL = b"V", b"M", b"A"
DUMP_DIRECTORY, OLD_SPARSE = b"D", b"S"

SIZE_LIMIT = (1 << 63) - 1
ID_LIMIT = (1 << 32) - 1

_HELPERS = {PAX, SOLARIS_PAX, GLOBAL_PAX, LONG_PATH, LONG_LINK, VOLUME_LABEL, CONTINUED, SOLARIS_ACL}
WITHOUT_PAYLOAD = {HARD_LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO}
"""Kinds that have no payload whatever their size says; some tars give a hard link the size of the file."""
LINKS = {HARD_LINK, SYMLINK}
_TYPES = {kind: kind for kind in WITHOUT_PAYLOAD}
_TYPES |= {DUMP_DIRECTORY: DIRECTORY} | dict.fromkeys(_HELPERS, b"")

# name; mode, uid and gid; size; mtime; checksum; what Tail holds
_BLOCK = struct.Struct("100s24s12s12s8s356s")
# type; link name; magic; version; user; group; device numbers; prefix
_TAIL = struct.Struct("1s100s6s2s32s32s8s8s155s12x")
_FIRST_SIZE = 148
_CHECKSUM_END = 156
_BLANK_CHECKSUM_SUM = sum(b" " * 8)
_POSIX_MAGIC, _GNU_MAGIC = b"ustar\0", b"ustar "
_POSITIVE, _NEGATIVE = 0x80, 0xFF
"""What GNU tar's binary numbers begin with."""


class Tail(NamedTuple):
    """What stands behind the checksum: often the same for many members, so it is parsed once."""

    kind: bytes
    """As it stands in the block."""
    type: bytes
    """As in `archive.member`; empty for headers that only help the member that follows."""
    link: bytes
    user: bytes
    group: bytes
    rdev: int
    prefix: bytes
    sum: int


Fields = tuple[bytes, bytes, bytes, bytes, Tail]
"""Name, for `to_text`; mode and owner, for `to_permissions`; size; mtime; what else is said."""


def split(block: bytes) -> Fields:
    """The fields of a whole block; raises ValueError where its checksum is wrong."""
    name, permissions, size, mtime, checksum, rest = _BLOCK.unpack(block)
    tail = _tail(rest)
    # The low half of Adler-32 is the sum of up to 256 bytes plus one, as in header.py.
    total = (adler32(block[:_FIRST_SIZE]) & 0xFFFF) - 1 + _BLANK_CHECKSUM_SUM + tail.sum
    if checksum != b"%06o\0 " % total:
        _verify(block, to_number(checksum), total)
    return name, permissions, size, mtime, tail


def _verify(block: bytes, stored: int, total: int) -> None:
    """Compare otherwise spelt checksums, and the sums of signed bytes that some old tars store."""
    negative = sum(byte > 0x7F for byte in block[:_FIRST_SIZE] + block[_CHECKSUM_END:])
    if stored not in {total, total - 256 * negative}:
        raise ValueError(f"no tar header: its checksum is {stored}, its bytes have {total}")


@lru_cache(maxsize=1024)
def _tail(rest: bytes) -> Tail:
    kind, link, magic, _, user, group, major, minor, prefix = _TAIL.unpack(rest)
    if magic not in {_POSIX_MAGIC, _GNU_MAGIC}:
        user = group = b""
    if magic != _POSIX_MAGIC:
        prefix = b""  # GNU tar keeps other things there
    kind_of_member = _TYPES.get(kind, REGULAR)
    rdev = _device(major, minor) if kind in {CHARACTER, BLOCK} else 0
    link = to_text(link) if kind in LINKS else b""
    return Tail(kind, kind_of_member, link, to_text(user), to_text(group), rdev, to_text(prefix), sum(rest))


def _device(major: bytes, minor: bytes) -> int:
    return os.makedev(bounded(to_number(major), ID_LIMIT), bounded(to_number(minor), ID_LIMIT))


@lru_cache(maxsize=4096)
def to_permissions(field: bytes) -> tuple[int, int, int]:
    """Mode, uid and gid of the 24 bytes that hold them; raises ValueError."""
    mode, uid, gid = (bounded(to_number(field[at : at + 8]), ID_LIMIT) for at in (0, 8, 16))
    return mode & 0o7777, uid, gid


@lru_cache(maxsize=4096)
def to_size(field: bytes) -> int:
    """A number from 0 to `SIZE_LIMIT`; raises ValueError."""
    return bounded(to_number(field), SIZE_LIMIT)


def to_seconds(field: bytes) -> int:
    """A number of up to 64 bits, which may be negative; raises ValueError."""
    seconds = to_number(field)
    if -SIZE_LIMIT <= seconds <= SIZE_LIMIT:
        return seconds
    raise ValueError(f"the time {seconds} is out of range")


def to_number(field: bytes) -> int:
    """An octal number, or GNU tar's binary one, which may be negative; blank is 0. Raises ValueError."""
    if field[0] == _POSITIVE:
        return int.from_bytes(field[1:], "big")
    if field[0] == _NEGATIVE:
        return int.from_bytes(field, "big", signed=True)
    digits = to_text(field).strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise ValueError(f"{field!r} is no number")
    return int(digits, 8)


def bounded(number: int, limit: int) -> int:
    """The number itself; raises ValueError unless it is from 0 to `limit`."""
    if 0 <= number <= limit:
        return number
    raise ValueError(f"the number {number} is out of range")


def to_text(field: bytes) -> bytes:
    """What stands before the first NUL."""
    return field.partition(b"\0")[0]
