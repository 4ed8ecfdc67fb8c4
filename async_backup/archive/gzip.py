"""Gzip members (RFC 1952): one for each segment, and empty ones that carry the index."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from zlib_ng import zlib_ng

from async_backup.archive.deflate import GZIP, deflate

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTRA_LIMIT = 0xFFFF - 4
"""Bytes that one FEXTRA subfield can carry: XLEN is 16 bits and the subfield's own head takes four."""

_HEAD_EXTRA = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff"
_EMPTY_BODY = b"\x03\x00" + bytes(8)
_EXTRA = struct.Struct("<H2sH")

EXTRA_HEAD_SIZE = len(_HEAD_EXTRA) + _EXTRA.size
EXTRA_OVERHEAD = EXTRA_HEAD_SIZE + len(_EMPTY_BODY)

LEAST_PROBED = 64 << 10
"""Bytes of data below which trying costs no more than looking; also of a window: twice what deflate looks back."""

_WINDOW_STRIDE = 1 << 20
_LOOK_STRIDE, _LOOK = 32 << 10, 4 << 10
_GLANCE, _LEAST_VALUES = 128, 80
_STEP = 20_249
"""How far samples move on within their stride: the golden section of 32 KiB, as a prime number."""


def compress_member(data: bytes, level: int) -> bytes:
    """One gzip member of `data`, without name or time: the same data and level give the same bytes.

    Data that does not shrink is stored, at every level, and mostly without trying to squeeze it: see `seems_dense`.
    """
    if seems_dense(data, level):
        return _store(data)
    member = deflate(data, level, GZIP)
    return member if len(member) < len(data) else min(member, _store(data), key=len)


def seems_dense(data: bytes, level: int) -> bool:
    """Whether samples say that compressing `data` saves nothing to speak of; of less than `LEAST_PROBED` they do not.

    Dense means that of each MiB a window of 64 KiB, compressed at that level, shrinks by less than a 256th; and that
    of each 32 KiB a look at 128 bytes finds at least 80 values among them (random bytes have about 101), or else the
    4 KiB from there do not shrink by a 16th. So what would shrink by half a percent all over is compressed, and so is
    a segment with 64 KiB of text, zeros or code in one piece. Where the samples stand depends on the length alone,
    and differs from stride to stride, so that data with a period is seen in all its phases. What compresses mostly
    says so at the first look, in 12 microseconds.
    """
    if len(data) < LEAST_PROBED:
        return False
    if any(_stands_out(it, level) for it in _samples(data, _LOOK_STRIDE, _LOOK)):
        return False
    return not any(_shrinks(it, level, 256) for it in _samples(data, _WINDOW_STRIDE, LEAST_PROBED))


def _samples(data: bytes, stride: int, length: int) -> Iterator[bytes]:
    """`length` bytes of each `stride`, also of a last one that is shorter, unless it is shorter than they are."""
    for number, start in enumerate(range(0, len(data) - length + 1, stride)):
        room = min(stride, len(data) - start) - length + 1
        position = start + number * _STEP % room
        yield data[position : position + length]


def _stands_out(sample: bytes, level: int) -> bool:
    return len(set(sample[:_GLANCE])) < _LEAST_VALUES and _shrinks(sample, level, 16)


def _shrinks(sample: bytes, level: int, part: int) -> bool:
    """Whether by more than one `part` of it."""
    return len(deflate(sample, level, GZIP)) < len(sample) - len(sample) // part


def _store(data: bytes) -> bytes:
    """`data` in stored blocks: 5 bytes for each 65,535 or fewer, about 340 for 4 MiB."""
    return bytes(zlib_ng.compress(data, level=0, wbits=GZIP))


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
