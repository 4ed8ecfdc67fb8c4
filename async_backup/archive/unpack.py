"""From the bytes of one gzip member back to the tar bytes of its segment, or a word on what is wrong with them."""

from __future__ import annotations

import hashlib
import zlib
from contextlib import suppress
from typing import Any, cast

from isal import isal_zlib

InflateError = cast("type[Exception]", isal_zlib.error)  # an instance, by the types that isal declares

_GZIP_WINDOW = 31
_HEADER = 10
"""Bytes before the data of a gzip member of ours (RFC 1952, section 2.3: without any optional field)."""

_STEP = 16 << 10


class DamagedSegment(ValueError):
    """The bytes of a segment are not those that were packed."""


def unpack(data: memoryview | bytes, raw_length: int, sha256: bytes) -> bytes:
    """The raw bytes of a segment whose gzip member is `data`; never more than `raw_length` and one are made.

    Raises DamagedSegment where the digest differs, or where what was packed is no gzip member of that size.
    """
    if hashlib.sha256(data).digest() != sha256:
        raise DamagedSegment("its bytes differ from those that were stored (SHA-256)")
    decompressor = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        raw = decompressor.decompress(data, max_length=raw_length + 1)
    except InflateError as error:
        raise DamagedSegment(f"it cannot be decompressed ({error})") from error
    if len(raw) != raw_length or not decompressor.eof:
        raise DamagedSegment("it does not have the size that the index tells")
    return raw


def salvaged(data: memoryview | bytes, raw_length: int) -> bytes:
    """What can be decompressed of a damaged segment, at most `raw_length` bytes: from somewhere on it may be wrong.

    Header and checksum are passed over, and it goes on to the very byte at which it makes no sense any more.
    """
    decompressor, raw = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    for start in range(_HEADER, len(data), _STEP):
        room = raw_length - len(raw)
        if decompressor.eof or room <= 0:  # with no room there would be no limit
            break
        step, before = data[start : start + _STEP], decompressor.copy()
        try:
            raw += decompressor.decompress(step, room)
        except zlib.error:
            raw += _as_far_as_it_goes(before, step, room)
            break
    return bytes(raw)


def _as_far_as_it_goes(decompressor: Any, step: memoryview | bytes, room: int) -> bytes:
    raw = bytearray()
    with suppress(zlib.error):
        for place in range(len(step)):
            if len(raw) < room:
                raw += decompressor.decompress(step[place : place + 1], room - len(raw))
    return bytes(raw)
