"""From the bytes of one gzip member back to the tar bytes of its segment, or a word on what is wrong with them."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import cast

from isal import isal_zlib

InflateError = cast("type[Exception]", isal_zlib.error)  # an instance, by the types that isal declares

_GZIP_WINDOW = 31
_STEP = 4 << 10


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
    """What can be decompressed of a damaged gzip member, at most `raw_length` bytes: from somewhere on it may be wrong.

    The library gives nothing of a step in which it finds an error, so the steps are small.
    """
    decompressor = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
    raw = bytearray()
    with suppress(InflateError):
        while len(raw) < raw_length and (made := decompressor.decompress(data, max_length=_STEP)):
            raw += made
            data = decompressor.unconsumed_tail
    return bytes(raw[:raw_length])
