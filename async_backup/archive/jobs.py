"""Segments to be packed, and where members are cut into such: before a header or inside the payload of a large file.

Where a cut falls depends on paths and sizes near it alone, so that one new file does not move every later cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from async_backup.archive.header import BLOCK_SIZE, PLANNED_OVERHEAD

if TYPE_CHECKING:
    from async_backup.archive.member import Meta
    from async_backup.archive.sparse import Extent, Sparse

SmallFile = tuple[bytes, int]
"""Name and planned size of a regular file that fits into a segment. A plain tuple: there may be millions."""


class Node(NamedTuple):
    """A member that the plan knows completely: all but small files. A large file's payload follows in pieces.

    `extra` are the pax records of its extended attributes.
    """

    name: bytes
    meta: Meta
    link: bytes = b""
    extra: bytes = b""
    sparse: Sparse | None = None


class Leader(NamedTuple):
    """The first of several hard links to a small file; the others refer to it, so it must be this very inode."""

    name: bytes
    meta: Meta


class Group(NamedTuple):
    """Members that stand one after another in one directory, whose identity is device and inode."""

    path: bytes
    identity: tuple[int, int]
    items: list[SmallFile | Node | Leader]


class Batch(NamedTuple):
    """A segment of whole members; the last one of an archive also holds the two zero blocks."""

    groups: list[Group]
    is_last: bool


class Piece(NamedTuple):
    """A segment that is a part of a large file's payload: `length` bytes at `offset` of it, without a sparse map.

    They are read from the `parts` of the file, which is named without what only its header needs.
    """

    directory: bytes
    identity: tuple[int, int]
    file: Node
    offset: int
    length: int
    parts: tuple[Extent, ...]
    is_last: bool
    is_leader: bool


Job = Batch | Piece


class Batches:
    """Collects members and decides where a batch ends."""

    def __init__(self, segment_size: int) -> None:
        self._most = segment_size
        self._least = segment_size // 2
        self._window = segment_size // 2
        self._groups: list[Group] = []
        self._path_hash = 0
        self._overhead = PLANNED_OVERHEAD
        self._directory: tuple[bytes, tuple[int, int]] = (b"", (0, 0))
        self._size = 0
        self.ready: list[Job] = []

    def enter(self, path: bytes, identity: tuple[int, int]) -> None:
        """Say which directory the next members stand in."""
        self._directory = (path, identity)
        self._path_hash = crc32(path + b"/")
        self._overhead = PLANNED_OVERHEAD + len(path) // BLOCK_SIZE * BLOCK_SIZE

    def add(self, item: SmallFile | Node | Leader, size: int = 0) -> None:
        """Append a member with a payload of `size` bytes, after a cut where one is due."""
        size += self._overhead + -size % BLOCK_SIZE
        if self._is_cut_due(item[0], size):
            self.cut()
        if not self._groups or self._groups[-1].path != self._directory[0]:
            self._groups.append(Group(*self._directory, []))
        self._groups[-1].items.append(item)
        self._size += size

    def _is_cut_due(self, name: bytes, size: int) -> bool:
        total = self._size + size
        if total > self._most:
            return self._size > 0
        # A member's chance to begin a segment is its share of the window: cuts lie a third of a segment
        # beyond the least on average, whatever the size of the files.
        return self._size >= self._least and crc32(name, self._path_hash) * self._window < size << 32

    def cut(self, *, is_last: bool = False) -> None:
        """End the segment here."""
        if self._groups or is_last:
            self.ready.append(Batch(self._groups, is_last))
        self._groups = []
        self._size = 0

    def take(self) -> list[Job]:
        """The segments that are complete, once."""
        ready, self.ready = self.ready, []
        return ready


def path_in(directory: bytes, name: bytes) -> bytes:
    """The path of `name` in a directory, which may be b""."""
    return b"%b/%b" % (directory, name) if directory else name
