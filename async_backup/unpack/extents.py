"""Where the payload of a file belongs: one after another for most, at the data between the holes for a sparse one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_backup.archive.tar import TarMember


def extents_of(member: TarMember, start: int, length: int) -> list[tuple[int, int]]:
    """The parts (offset in the file, length) that hold the `length` bytes of payload from byte `start` of it."""
    if member.sparse is None:
        return [(start, length)]
    found, position, end = [], 0, start + length
    for offset, size in member.sparse.extents:
        first, last = max(start, position), min(end, position + size)
        if first < last:
            found.append((offset + first - position, last - first))
        position += size
        if position >= end:
            break
    return found


def placed(member: TarMember, start: int, data: memoryview | bytes) -> list[tuple[int, memoryview]]:
    """Payload bytes with the offsets where they belong, `data` being those from byte `start` of it."""
    view, parts, position = memoryview(data), [], 0
    for offset, length in extents_of(member, start, len(view)):
        parts.append((offset, view[position : position + length]))
        position += length
    return parts
