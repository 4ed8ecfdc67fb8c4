"""What runs in a process that restores: segments come in shared slots, and become files."""

from __future__ import annotations

import os
from contextvars import ContextVar
from mmap import mmap
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.check import check_segment as check_raw_segment
from async_backup.archive.unpack import DamagedSegment, salvaged, unpack
from async_backup.child import settle_in
from async_backup.unpack.members import Unpacker
from async_backup.unpack.segment import salvage_members as salvage
from async_backup.unpack.segment import unpack_members, unpacked_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.archive.check import Checked
    from async_backup.archive.index import Segment
    from async_backup.child import SharedDescriptor
    from async_backup.unpack.members import OpenFile
    from async_backup.unpack.rules import Issue, UnpackRules
    from async_backup.unpack.segment import Unpacked, Wanted


class Stored(NamedTuple):
    """A segment's gzip member at the start of a slot; lengths in bytes."""

    slot: int
    length: int
    raw_length: int
    sha256: bytes


class State:
    """Slots, and what unpacks from them: one in a process that restores, or one for each restore in threads."""

    def __init__(self, slots: mmap | bytearray, slot_size: int, rules: UnpackRules | None) -> None:
        self._slots = memoryview(slots)
        self._slot_size = slot_size
        self.unpacker = Unpacker(rules) if rules else None

    def data(self, stored: Stored) -> memoryview:
        start = stored.slot * self._slot_size
        return self._slots[start : start + stored.length]

    def raw(self, stored: Stored) -> bytes:
        return unpack(self.data(stored), stored.raw_length, stored.sha256)

    def close(self) -> None:
        if self.unpacker:
            self.unpacker.__exit__()


current: ContextVar[State] = ContextVar("current")


def initialize(
    slots: SharedDescriptor, lifeline: SharedDescriptor, scratch: str, slot_size: int, rules: UnpackRules | None
) -> None:
    """Make this process ready; see `child.settle_in`. Without `rules` it can only check."""
    settle_in(lifeline, scratch)
    current.set(State(mmap(slots.descriptor, 0), slot_size, rules))
    os.close(slots.descriptor)


def _unpacker() -> Unpacker:
    unpacker = current.get().unpacker
    if unpacker is None:
        raise RuntimeError("the process has no place to restore to")
    return unpacker


def restore_members(stored: Stored, wanted: Wanted | None, *, is_again: bool = False) -> Unpacked:
    """Restore the members of a segment; raises DamagedSegment.

    `is_again` says that another process died at this segment: what stands in the way may be what that one made.
    """
    unpacker = _unpacker()
    if is_again:
        unpacker.replace_leftovers()
    return unpack_members(unpacker, current.get().raw(stored), wanted)


def salvage_members(slot: int, segment: Segment, wanted: Wanted | None) -> tuple[Unpacked, frozenset[int]]:
    """Restore what is left of the members of a damaged segment; with the offsets of those that are there."""
    stored = Stored(slot, segment.length, segment.raw_length, segment.sha256)
    return salvage(_unpacker(), salvaged(current.get().data(stored), segment.raw_length), segment, wanted)


def restore_piece(stored: Stored, file: OpenFile, extents: Sequence[tuple[int, int]]) -> list[Issue]:
    """Write a segment that is payload of a large file to where it belongs there; raises DamagedSegment."""
    raw = memoryview(current.get().raw(stored))
    size = sum(length for _, length in extents)
    if len(raw) < size or any(raw[size:]):
        raise DamagedSegment("it does not hold as much of the file as the index tells")
    parts, position = [], 0
    for offset, length in extents:
        parts.append((offset, raw[position : position + length]))
        position += length
    _unpacker().write(file, parts)
    return _unpacker().take_issues()


def check_segment(slot: int, segment: Segment, *, is_last: bool) -> Checked:
    """Compare a segment at the start of a slot with what the index tells of it; raises DamagedSegment."""
    raw = current.get().raw(Stored(slot, segment.length, segment.raw_length, segment.sha256))
    return check_raw_segment(segment, raw, is_last=is_last)


def finish_file(file: OpenFile, *, is_kept: bool) -> Unpacked:
    """Give a large file its name, or remove it."""
    unpacker = _unpacker()
    if is_kept:
        unpacker.finish_file(file)
    else:
        unpacker.discard(file)
    return unpacked_by(unpacker)
