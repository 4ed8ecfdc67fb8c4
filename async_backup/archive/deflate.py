"""Deflate (RFC 1951) whose bytes follow from the data and the level alone, whichever process compresses."""

from __future__ import annotations

from isal import isal_zlib
from zlib_ng import zlib_ng

GZIP = 31
"""zlib's name for a window of 32 KiB inside a gzip header and trailer, without name or time."""
ZLIB = 15
"""zlib's name for a window of 32 KiB inside a zlib header and trailer."""

_ISAL_LEVELS = 3
_MEMORY = 8
"""zlib's memory level, and its default: isal's blocks are half of its longest, so that their codes fit what they hold.

That leaves 0.4 to 1.2 percent less, for no time that could be measured. Level 4 would leave 1 percent less again, for
4 percent of compression's time.
"""
_HEAD = 4
"""Bytes of a first block of their own: the fewest of which isal takes note by the other of its two ways.

At levels 1 and 2 its assembly puts what it sees first into its hash table under a number that it computes from the
address of its own state (`.write_first_byte` in `igzip_icf_body_h1_gr_bt.asm` of ISA-L 2.30 to 2.32 reads a register
that nothing has set). One segment in a thousand then lacks a match or two, in some processes and in others not. Bytes
that are flushed before more than 16 have come go another way, which has no such fault. It costs 10 bytes.
"""


def deflate(data: bytes, level: int, wbits: int) -> bytes:
    """`data` compressed, in `GZIP` or `ZLIB` form: the same arguments give the same bytes.

    Levels 0 to 3 are igzip's, 4 to 9 zlib-ng's.
    """
    if level > _ISAL_LEVELS:
        return bytes(zlib_ng.compress(data, level=level, wbits=wbits))
    stream = isal_zlib.compressobj(level, isal_zlib.DEFLATED, wbits, _MEMORY)
    head = stream.compress(data[:_HEAD]) + stream.flush(isal_zlib.Z_SYNC_FLUSH)
    return b"".join((head, stream.compress(memoryview(data)[_HEAD:]), stream.flush()))
