"""Tar headers by hand: ustar where it fits, preceded by a pax extended header where it does not.

POSIX.1-2001 (pax) defines both. What each tar does with the corners was tried with GNU tar, bsdtar, busybox
and Python's tarfile: a name that is not UTF-8 stays raw in ustar's field, where all of them take it as bytes;
only one too long for that needs `hdrcharset=BINARY`, about which GNU tar prints a warning.
"""

from __future__ import annotations

import grp
import os
import pwd
import struct
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import adler32

from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY

if TYPE_CHECKING:
    from async_backup.archive.member import Meta

BLOCK_SIZE = 512
END_OF_ARCHIVE = bytes(2 * BLOCK_SIZE)
PLANNED_OVERHEAD = 3 * BLOCK_SIZE
"""Bytes of header that a plan counts for a member: ustar, and a pax header for the fractions of its time."""

_NAME_LIMIT = 100
_PREFIX_LIMIT = 155
_OWNER_LIMIT = 32
_ID_LIMIT = 0o7777777
_NUMBER_LIMIT = 0o77777777777
_BILLION = 1_000_000_000
# name; mode, uid and gid; size; mtime; checksum; type; link name; magic; user; group; device numbers; prefix
_USTAR = struct.Struct("100s24s12s12s8s1s100s8s32s32s16s155s12x")
_CHECKSUM = slice(148, 156)
_BLANK_CHECKSUM = b" " * 8
_MAGIC = b"ustar\x0000"


def header(path: bytes, meta: Meta, link: bytes = b"") -> bytes:
    """The header blocks of one member; `link` is the target of a symbolic or hard link."""
    if meta.type == DIRECTORY:
        path += b"/"
    user, group = _user(meta.uid), _group(meta.gid)
    name, prefix = _ustar_name(path)
    seconds, fraction = divmod(meta.mtime_ns, _BILLION)
    extended = b""
    if fraction or name != path or not 0 <= seconds <= _NUMBER_LIMIT or _is_unusual(meta, path, link, user + group):
        extended = _extended(path, path if prefix else name, meta, link, (user, group))
    block = _USTAR.pack(
        name,
        _permissions(meta.mode, meta.uid, meta.gid),
        b"%011o\0" % (meta.size if meta.size <= _NUMBER_LIMIT else 0),
        b"%011o\0" % min(max(seconds, 0), _NUMBER_LIMIT),
        _BLANK_CHECKSUM,
        meta.type,
        link,
        _MAGIC,
        user,
        group,
        _device(meta),
        prefix,
    )
    return extended + _with_checksum(block)


def padding(size: int) -> bytes:
    """Zeros that fill a payload of `size` bytes up to whole blocks."""
    return bytes(-size % BLOCK_SIZE)


def _is_unusual(meta: Meta, path: bytes, link: bytes, owners: bytes) -> bool:
    return (
        meta.size > _NUMBER_LIMIT
        or meta.uid > _ID_LIMIT
        or meta.gid > _ID_LIMIT
        or len(link) > _NAME_LIMIT
        or not path.isascii()
        or not link.isascii()
        or len(owners) > _OWNER_LIMIT
        or not owners.isascii()
    )


def _ustar_name(path: bytes) -> tuple[bytes, bytes]:
    """What goes into ustar's name and prefix fields; a cut name where an extended header has to carry it."""
    if len(path) <= _NAME_LIMIT:
        return path, b""
    cut = path.rfind(b"/", 0, _PREFIX_LIMIT + 1)
    if cut <= 0 or not 0 < len(path) - cut - 1 <= _NAME_LIMIT:
        return path[:_NAME_LIMIT], b""
    return path[cut + 1 :], path[:cut]


def _extended(path: bytes, shown: bytes, meta: Meta, link: bytes, owners: tuple[bytes, bytes]) -> bytes:
    """The pax header, or nothing where it would be empty; `shown` is the path that ustar's fields give."""
    seconds, fraction = divmod(meta.mtime_ns, _BILLION)
    records = []
    if fraction or not 0 <= seconds <= _NUMBER_LIMIT:
        records.append(_record(b"mtime", _decimal(meta.mtime_ns)))
    if shown != path or (not path.isascii() and _is_utf8(path)):
        records.append(_record(b"path", path))
    if len(link) > _NAME_LIMIT or (not link.isascii() and _is_utf8(link)):
        records.append(_record(b"linkpath", link))
    records += _number_records(meta)
    records += _owner_records(*owners)
    binary = (shown != path and not _is_utf8(path)) or (len(link) > _NAME_LIMIT and not _is_utf8(link))
    if binary:
        records.insert(0, _record(b"hdrcharset", b"BINARY"))
    return _pax(b"".join(records))


def _number_records(meta: Meta) -> list[bytes]:
    limits = ((b"size", meta.size, _NUMBER_LIMIT), (b"uid", meta.uid, _ID_LIMIT), (b"gid", meta.gid, _ID_LIMIT))
    return [_record(keyword, b"%d" % value) for keyword, value, limit in limits if value > limit]


def _owner_records(user: bytes, group: bytes) -> list[bytes]:
    owners = ((b"uname", user), (b"gname", group))
    return [_record(key, name) for key, name in owners if len(name) > _OWNER_LIMIT or not name.isascii()]


def _pax(records: bytes) -> bytes:
    if not records:
        return b""
    return b"".join((_pax_head(len(records)), records, padding(len(records))))


@lru_cache(maxsize=1024)
def _pax_head(size: int) -> bytes:
    block = _USTAR.pack(
        b"././@PaxHeader",
        _permissions(0o644, 0, 0),
        b"%011o\0" % size,
        b"%011o\0" % 0,
        _BLANK_CHECKSUM,
        b"x",
        b"",
        _MAGIC,
        b"",
        b"",
        b"",
        b"",
    )
    return _with_checksum(block)


def _record(keyword: bytes, value: bytes) -> bytes:
    """`LENGTH KEYWORD=VALUE\\n`, where LENGTH counts its own digits too."""
    rest = len(keyword) + len(value) + 3
    length = rest + len(str(rest))
    if rest + len(str(length)) != length:
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, keyword, value)


def _decimal(nanoseconds: int) -> bytes:
    seconds, fraction = divmod(abs(nanoseconds), _BILLION)
    sign = b"-" if nanoseconds < 0 else b""
    return b"%b%d.%09d" % (sign, seconds, fraction) if fraction else b"%b%d" % (sign, seconds)


def _with_checksum(block: bytes) -> bytes:
    # The low half of Adler-32 is the sum of the bytes plus one, modulo 65521: exact for 256 bytes at a time,
    # and ten times as fast as sum().
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    return b"%b%06o\0 %b" % (block[: _CHECKSUM.start], total, block[_CHECKSUM.stop :])


@lru_cache(maxsize=4096)
def _permissions(mode: int, uid: int, gid: int) -> bytes:
    return b"%07o\0%07o\0%07o\0" % (mode, uid if uid <= _ID_LIMIT else 0, gid if gid <= _ID_LIMIT else 0)


def _device(meta: Meta) -> bytes:
    if meta.type not in {CHARACTER, BLOCK}:
        return b""
    return _device_numbers(meta.rdev)


@lru_cache(maxsize=1024)
def _device_numbers(rdev: int) -> bytes:
    return b"%07o\0%07o\0" % (os.major(rdev), os.minor(rdev))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(maxsize=4096)
def _user(uid: int) -> bytes:
    try:
        return pwd.getpwuid(uid).pw_name.encode("utf-8", "surrogateescape")
    except (KeyError, OverflowError):
        return b""


@lru_cache(maxsize=4096)
def _group(gid: int) -> bytes:
    try:
        return grp.getgrgid(gid).gr_name.encode("utf-8", "surrogateescape")
    except (KeyError, OverflowError):
        return b""
