"""Tar headers by hand: ustar where it fits, preceded by a pax extended header where it does not.

POSIX.1-2001 (pax) defines both. What is done about a name that is not UTF-8 was tried with GNU tar 1.34,
bsdtar 3.6.2, busybox 1.35, 7-Zip 26.02 and Python 3.11's tarfile:

* raw in ustar's fields, where it fits: all take it as bytes, without a word;
* raw in a pax record: right bytes everywhere, but bsdtar complains that it is not UTF-8 and exits with 1;
* the same with `hdrcharset=BINARY`, as pax defines it: right bytes, but GNU tar warns of an unknown keyword;
* in GNU's headers `L` and `K`, after a pax header or without one: all take it as bytes, without a word, but
  busybox ends with "bad archive" where it is longer than 4,094 bytes.

So a name that is not UTF-8 stands in ustar's fields, in GNU's headers where it is too long for them, and under
`hdrcharset=BINARY` where it is too long for those too.
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
_OWNER_LIMIT = 31  # they end with a NUL
_ID_LIMIT = 0o7777777
_NUMBER_LIMIT = 0o77777777777
_BILLION = 1_000_000_000
# name; mode, uid and gid; size, mtime (the checksum of 8 bytes follows)
_FIRST = struct.Struct("100s24s24s")
# type; link name; magic; user; group; device numbers; prefix
_REST = struct.Struct("1s100s8s32s32s16s155s12x")
_BLANK_CHECKSUM_SUM = sum(b" " * 8)
_MAGIC = b"ustar\x0000"
_GNU_MAGIC = b"ustar  \0"
_LONG_PATH, _LONG_LINK = b"L", b"K"
"""Types of the GNU headers whose payload is the path or the link of the member that follows."""
_LONG_NAME_LIMIT = 4094
_DEVICES = (CHARACTER, BLOCK)
_PADDINGS = [bytes(size) for size in range(BLOCK_SIZE)]


def header(path: bytes, meta: Meta, link: bytes = b"", extra: bytes = b"") -> bytes:
    """The header blocks of one member.

    `link` is the target of a symbolic or hard link, `extra` are further pax records; they stand after ours.
    """
    kind, mode, uid, gid, size, mtime_ns, _, _, _, rdev = meta
    if kind == DIRECTORY:
        path += b"/"
    name, prefix = (path, b"") if len(path) <= _NAME_LIMIT else _ustar_name(path)
    shown = path if prefix else name
    seconds, fraction = divmod(mtime_ns, _BILLION)
    fits = size <= _NUMBER_LIMIT and 0 <= seconds <= _NUMBER_LIMIT
    extended = b""
    if link or shown != path or not (fits and path.isascii() and _is_plain_owner(uid, gid)):
        extended = _extended(path, shown, meta, link, extra)
    elif fraction:
        extended = _pax(pax_record(b"mtime", b"%d.%09d" % (seconds, fraction)) + extra)
    elif extra:
        extended = _pax(extra)
    if not fits:
        size, seconds = size if size <= _NUMBER_LIMIT else 0, min(max(seconds, 0), _NUMBER_LIMIT)
    first = _FIRST.pack(name, _permissions(mode, uid, gid), b"%011o\0%011o\0" % (size, seconds))
    rest = _rest(kind, link, prefix, (uid, gid), rdev if kind in _DEVICES else None)
    return extended + _joined(first, *rest)


def padding(size: int) -> bytes:
    """Zeros that fill a payload of `size` bytes up to whole blocks."""
    return _PADDINGS[-size % BLOCK_SIZE]


def _ustar_name(path: bytes) -> tuple[bytes, bytes]:
    """What goes into ustar's fields of a long path; a cut name where an extended header has to carry it."""
    cut = path.rfind(b"/", 0, min(_PREFIX_LIMIT + 1, len(path) - 1))
    if cut <= 0 or len(path) - cut - 1 > _NAME_LIMIT:
        return path[:_NAME_LIMIT].rstrip(b"/"), b""  # a slash at the end would make it a directory for some
    return path[cut + 1 :], path[:cut]


def _extended(path: bytes, shown: bytes, meta: Meta, link: bytes, extra: bytes) -> bytes:
    """The headers that go before, or nothing where ustar's say it all; `shown` is the path that its fields give."""
    records = [*_time_records(meta.mtime_ns), *_number_records(meta), *_owner_records(meta.uid, meta.gid)]
    long_names = b""
    names = ((b"path", _LONG_PATH, path, shown != path), (b"linkpath", _LONG_LINK, link, len(link) > _NAME_LIMIT))
    for keyword, kind, name, is_cut in names:
        if is_utf8(name):
            records += [pax_record(keyword, name)] if is_cut or not name.isascii() else []
        elif len(name) > _LONG_NAME_LIMIT:
            records = [pax_record(b"hdrcharset", b"BINARY"), *records, pax_record(keyword, name)]
        elif is_cut:
            long_names += _long_name(kind, name)
    return _pax(b"".join((*records, extra))) + long_names


def _time_records(mtime_ns: int) -> list[bytes]:
    seconds, fraction = divmod(mtime_ns, _BILLION)
    return [pax_record(b"mtime", _decimal(mtime_ns))] if fraction or not 0 <= seconds <= _NUMBER_LIMIT else []


def _number_records(meta: Meta) -> list[bytes]:
    limits = ((b"size", meta.size, _NUMBER_LIMIT), (b"uid", meta.uid, _ID_LIMIT), (b"gid", meta.gid, _ID_LIMIT))
    return [pax_record(keyword, b"%d" % value) for keyword, value, limit in limits if value > limit]


@lru_cache(maxsize=4096)
def _is_plain_owner(uid: int, gid: int) -> bool:
    return uid <= _ID_LIMIT and gid <= _ID_LIMIT and not _owner_records(uid, gid)


def _owner_records(uid: int, gid: int) -> tuple[bytes, ...]:
    owners = ((b"uname", _user(uid)), (b"gname", _group(gid)))
    unfit = [(key, name) for key, name in owners if len(name) > _OWNER_LIMIT or not name.isascii()]
    return tuple(pax_record(key, name) for key, name in unfit if is_utf8(name))


def _pax(records: bytes) -> bytes:
    if not records:
        return b""
    return b"".join((_pax_head(len(records)), records, padding(len(records))))


@lru_cache(maxsize=1024)
def _pax_head(size: int) -> bytes:
    return _helper_head(b"././@PaxHeader", b"x", size, _MAGIC)


def _long_name(kind: bytes, name: bytes) -> bytes:
    size = len(name) + 1
    return b"".join((_helper_head(b"././@LongLink", kind, size, _GNU_MAGIC), name, b"\0", padding(size)))


def _helper_head(name: bytes, kind: bytes, size: int, magic: bytes) -> bytes:
    first = _FIRST.pack(name, _permissions(0o644, 0, 0), b"%011o\0%011o\0" % (size, 0))
    return _joined(first, *_summed(_REST.pack(kind, b"", magic, b"", b"", b"", b"")))


def pax_record(keyword: bytes, value: bytes) -> bytes:
    """A record of a pax header: `LENGTH KEYWORD=VALUE\\n`, where LENGTH counts its own digits too."""
    rest = len(keyword) + len(value) + 3
    length = rest + len(str(rest))
    if rest + len(str(length)) != length:
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, keyword, value)


def _decimal(nanoseconds: int) -> bytes:
    seconds, fraction = divmod(abs(nanoseconds), _BILLION)
    sign = b"-" if nanoseconds < 0 else b""
    return b"%b%d.%09d" % (sign, seconds, fraction) if fraction else b"%b%d" % (sign, seconds)


def _joined(first: bytes, rest: bytes, rest_sum: int) -> bytes:
    # The low half of Adler-32 is the sum of the bytes plus one, modulo 65521: exact for up to 256 bytes, and
    # ten times as fast as sum().
    total = (adler32(first) & 0xFFFF) - 1 + _BLANK_CHECKSUM_SUM + rest_sum
    return b"%b%06o\0 %b" % (first, total, rest)


@lru_cache(maxsize=1024)
def _rest(kind: bytes, link: bytes, prefix: bytes, ids: tuple[int, int], rdev: int | None) -> tuple[bytes, int]:
    """What follows the checksum, and its sum: the same for many members one after another."""
    device = b"" if rdev is None else b"%07o\0%07o\0" % (os.major(rdev), os.minor(rdev))
    return _summed(_REST.pack(kind, link, _MAGIC, _user(ids[0]), _group(ids[1]), device, prefix))


def _summed(rest: bytes) -> tuple[bytes, int]:
    return rest, sum(rest)


@lru_cache(maxsize=4096)
def _permissions(mode: int, uid: int, gid: int) -> bytes:
    return b"%07o\0%07o\0%07o\0" % (mode, uid if uid <= _ID_LIMIT else 0, gid if gid <= _ID_LIMIT else 0)


def is_utf8(text: bytes) -> bool:
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
