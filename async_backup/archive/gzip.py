"""Gzip members (RFC 1952): one for each segment, and empty ones that carry the index."""

from __future__ import annotations

import struct
import zlib

from isal import igzip_lib
from zlib_ng import zlib_ng

EXTRA_LIMIT = 0xFFFF - 4
"""Bytes that one FEXTRA subfield can carry: XLEN is 16 bits and the subfield's own head takes four."""

_HEAD_EXTRA = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff"
_EMPTY_BODY = b"\x03\x00" + bytes(8)
_EXTRA = struct.Struct("<H2sH")

EXTRA_HEAD_SIZE = len(_HEAD_EXTRA) + _EXTRA.size
EXTRA_OVERHEAD = EXTRA_HEAD_SIZE + len(_EMPTY_BODY)

_ISAL_LEVELS = 3
_GZIP_WINDOW = 31
"""zlib's name for a window of 32 KiB inside a gzip header and trailer."""


def compress_member(data: bytes, level: int) -> bytes:
    """One gzip member of `data`, without name or time: the same data and level give the same bytes.

    Levels 0 to 3 are igzip's, 4 to 9 zlib-ng's. Data that does not shrink is stored: igzip's level 0 makes
    random bytes a fifth larger.
    """
    member = _compress(data, level)
    if len(member) >= len(data):
        member = min(member, zlib.compress(data, level=0, wbits=_GZIP_WINDOW), key=len)
    return member


def _compress(data: bytes, level: int) -> bytes:
    if level <= _ISAL_LEVELS:
        return igzip_lib.compress(
            data, level=level, flag=igzip_lib.COMP_GZIP, mem_level=igzip_lib.MEM_LEVEL_EXTRA_LARGE
        )
    return bytes(zlib_ng.compress(data, level=level, wbits=_GZIP_WINDOW))


def extra_member(tag: bytes, payload: bytes) -> bytes:
    """An empty gzip member with `payload` (at most `EXTRA_LIMIT` bytes) in its extra field; tar never sees it."""
    extra = _EXTRA.pack(len(payload) + 4, tag, len(payload))
    return b"".join((_HEAD_EXTRA, extra, payload, _EMPTY_BODY))


def read_extra_member(data: bytes, start: int, tag: bytes) -> tuple[bytes, int]:
    """The payload of the empty member at `start`, and where the next one begins.

    Raises ValueError where no whole member with that tag stands.
    """
    head = data[start : start + EXTRA_HEAD_SIZE]
    if len(head) < EXTRA_HEAD_SIZE or not head.startswith(_HEAD_EXTRA):
        raise ValueError(f"no gzip member with an extra field at byte {start}")
    extra_length, found, length = _EXTRA.unpack_from(head, len(_HEAD_EXTRA))
    end = start + EXTRA_HEAD_SIZE + length
    if found != tag or extra_length != length + 4 or data[end : end + len(_EMPTY_BODY)] != _EMPTY_BODY:
        raise ValueError(f"the gzip member at byte {start} is not {tag.decode()}")
    return data[start + EXTRA_HEAD_SIZE : end], end + len(_EMPTY_BODY)
