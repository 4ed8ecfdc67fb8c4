"""Gzip members one after another, decompressed as they come; what counts is up to where their checksums were right."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from isal import isal_zlib

from async_backup.archive.unpack import InflateError

if TYPE_CHECKING:
    import io

_GZIP_WINDOW = 31
_STEP = 256 << 10


class DamagedGzip(ValueError):
    """The stream is not gzip, or not what was compressed."""


class CutGzip(DamagedGzip):
    """The stream ends inside a gzip member."""


class Gunzip:
    """A source of the bytes in the gzip members of `raw`; zeros may follow the last one.

    `verified` counts the bytes, of those given so far or yet to come, whose member was read to its end and whose
    checksum was right.
    """

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw
        self._data = b""
        self._member: Any = None  # isal does not name the type of its decompressors
        self._made = 0
        self._damage = ""
        self._members = 0
        self.verified = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end of the last member; raises DamagedGzip."""
        parts, missing = [], size
        while missing and (part := self._some(missing)):
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _some(self, most: int) -> bytes:
        """At least one byte; none at the end."""
        while self._member is not None or self._begin_member():
            made = self._inflated(most)
            self._made += len(made)
            if self._member is not None and self._member.eof:
                self._data, self._member = self._member.unused_data, None
                self.verified = self._made
            if made:
                return made
        return b""

    def _begin_member(self) -> bool:
        """Go to the next member; False where there is none. Zeros may follow a member, as tapes and disks pad."""
        while not self._data.lstrip(b"\0" if self._members else b""):
            self._data = self._raw.read(_STEP)
            if not self._data:
                return False
        if self._members:
            self._data = self._data.lstrip(b"\0")
        self._member = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
        self._members += 1
        return True

    def _inflated(self, most: int) -> bytes:
        if self._damage:  # asked again, the library would go on as if nothing had been
            raise DamagedGzip(self._damage)
        data = self._data or self._raw.read(_STEP)
        if not data:
            raise CutGzip("the gzip stream ends in the middle")
        try:
            made: bytes = self._member.decompress(data, max_length=most)
        except (InflateError, zlib.error) as error:
            self._damage = str(error)
            raise DamagedGzip(self._damage) from error
        self._data = self._member.unconsumed_tail
        return made
