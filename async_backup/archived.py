"""An archive on the server, opened by its end: footer, index, and segments by range."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import Lock

from async_backup.archive.header import BLOCK_SIZE
from async_backup.archive.index import FOOTER_SIZE, read_footer, read_index
from async_backup.errors import DamagedArchive
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from async_backup.archive.index import Footer, Segment
    from async_backup.remote.base import RemoteReader

_TAIL = 256 << 10
"""Bytes read from the end at first: footer and, of most archives, the whole index, in one round trip."""

_LARGE = 128 << 20
"""Bytes of an archive whose index may take some memory."""

_PART = 2 << 20
_LONGEST_SEGMENT = 400 << 20
"""More than any setting makes, stored or raw: an index that tells of longer segments is not ours."""


class NoIndex(DamagedArchive):
    """An archive does not end as ours do: another program made it, or its end is missing."""


@dataclass(frozen=True, slots=True)
class IndexedArchive:
    """An open archive and its segments, in order and without a gap from its beginning to its index."""

    name: str
    reader: RemoteReader
    footer: Footer
    segments: Sequence[Segment]

    @property
    def longest_segment(self) -> int:
        return max((segment.length for segment in self.segments), default=0)


class Turns:
    """Of large archives, whose indexes take some memory, one at a time is looked at."""

    def __init__(self) -> None:
        self._lock = Lock()

    @asynccontextmanager
    async def turn(self, size: int) -> AsyncIterator[None]:
        """The turn of an archive of that size."""
        if size <= _LARGE:
            yield
            return
        async with self._lock:
            yield


async def read_archive(reader: RemoteReader, path: bytes) -> IndexedArchive:
    """The index of an open archive; raises NoIndex, DamagedArchive, RemoteError."""
    name = os.fsdecode(path)
    start = max(reader.size - _TAIL, 0)
    tail = await reader.read(start, reader.size - start)
    try:
        footer = read_footer(tail[-FOOTER_SIZE:])
    except ValueError as error:
        raise NoIndex(f"{name}: {error}") from error
    try:
        segments = await _read_segments(reader, footer, start, tail)
    except ValueError as error:
        raise DamagedArchive(f"{name}: {error}") from error
    return IndexedArchive(name, reader, footer, segments)


async def _read_segments(reader: RemoteReader, footer: Footer, start: int, tail: bytes) -> list[Segment]:
    end = footer.index_offset + footer.index_length
    if end != reader.size - FOOTER_SIZE:
        raise ValueError("the footer tells of another size: the archive was cut or put together")
    missing = max(start - footer.index_offset, 0)
    index = await _read_parts(reader, footer.index_offset, missing) + tail[max(footer.index_offset - start, 0) :]
    segments = list(read_index(footer, index[: footer.index_length]))
    _check(segments, footer)
    return segments


async def _read_parts(reader: RemoteReader, offset: int, length: int) -> bytes:
    starts = range(0, length, _PART)
    parts = [b""] * len(starts)

    async def read(number: int, start: int) -> None:
        parts[number] = await reader.read(offset + start, min(_PART, length - start))

    async with task_group() as tasks:
        for number, start in enumerate(starts):
            tasks.start_soon(read, number, start)
    return b"".join(parts)


def _check(segments: Sequence[Segment], footer: Footer) -> None:
    """The segments follow one another and add up to what the footer tells; raises ValueError."""
    position = 0
    for segment in segments:
        is_longer = max(segment.length, segment.raw_length) > _LONGEST_SEGMENT
        if segment.offset != position or is_longer or segment.members * BLOCK_SIZE > segment.raw_length:
            raise ValueError(f"the index is damaged: the segment at byte {position} is not where it should be")
        position += segment.length
    totals = len(segments), sum(s.members for s in segments), sum(s.raw_length for s in segments)
    if position != footer.index_offset or totals != (footer.segments, footer.members, footer.raw_length):
        raise ValueError("the index is damaged: it does not add up to what the footer tells")
