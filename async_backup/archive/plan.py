"""From a tree to the list of its segments: a walk in a stable order, cut where the design says.

The members of one directory come first, in the order of their names' bytes, then each of its subdirectories
with all that is below it. A cut falls before a header or inside the payload of a large file, and nowhere else;
where it falls depends on paths and sizes near it alone, so that one new file does not move every later cut.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from async_backup.archive.descent import Descent, identity_of, open_file
from async_backup.archive.header import BLOCK_SIZE, PLANNED_OVERHEAD
from async_backup.archive.links import Links
from async_backup.archive.member import (
    HARD_LINK,
    REGULAR,
    SYMLINK,
    Meta,
    Problem,
    ProblemKind,
    Replaced,
    explain,
    meta_of,
)
from async_backup.archive.selection import CACHE_TAG, Selection, is_cache

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

PATH_LIMIT = 60_000
"""Bytes of a path that the index can hold."""

SmallFile = tuple[bytes, int]
"""Name and planned size of a regular file that fits into a segment. A plain tuple: there may be millions."""


class Node(NamedTuple):
    """A member that the plan knows completely: all but small files. A large file's payload follows in pieces."""

    name: bytes
    meta: Meta
    link: bytes = b""


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
    """A segment that is a part of a large file's payload."""

    directory: bytes
    identity: tuple[int, int]
    file: Node
    offset: int
    length: int
    is_leader: bool


Job = Batch | Piece


@dataclass(frozen=True, slots=True)
class PlanRules:
    """How a tree is cut and what is left out; sizes in bytes. Without `hard_links` each link carries the content."""

    segment_size: int
    selection: Selection = field(default_factory=Selection)
    hard_links: bool = True


class _Batches:
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


class Planner:
    """Plans the archive of one entry; nothing is read from files, so it is cheap beside the packing."""

    def __init__(self, source: bytes, entry: bytes, rules: PlanRules) -> None:
        self._source = source
        self._entry = entry
        self._rules = rules
        self._batches = _Batches(rules.segment_size)
        self._links = Links()
        self._device: int | None = None
        self._longest_path = min(PATH_LIMIT, rules.segment_size // 8)
        self.problems: list[Problem] = []

    def jobs(self) -> Iterator[Job]:
        """The segments in the order of the archive. Raises OSError where the source or the entry is not there."""
        with Descent(self._source) as descent:
            yield from self._walk(descent)
        self._batches.cut(is_last=True)
        yield from self._batches.take()

    def _walk(self, descent: Descent) -> Iterator[Job]:
        os.stat(self._entry, dir_fd=descent.enter(b""), follow_symlinks=False)
        top = yield from self._members(b"", descent.enter(b""), [self._entry])
        waiting = [(b"", iter(top))]
        while waiting:
            parent, names = waiting[-1]
            name = next(names, None)
            if name is None:
                waiting.pop()
                continue
            inside = yield from self._directory(descent, parent, name)
            if inside:
                waiting.append((_join(parent, name), iter(inside)))

    def _directory(self, descent: Descent, parent: bytes, name: bytes) -> Generator[Job, None, list[bytes]]:
        """Add the directory itself and the files in it; returns the names of its subdirectories."""
        path = _join(parent, name)
        try:
            above = descent.enter(parent)
            status = os.stat(name, dir_fd=above, follow_symlinks=False)
            meta = meta_of(status)
            if meta is None or not stat.S_ISDIR(status.st_mode):
                raise Replaced
            self._batches.enter(parent, identity_of(above))
            self._batches.add(Node(name, meta))
            return (yield from self._inside(descent, path, meta))
        except OSError as error:
            self._report(path, error)
            return []

    def _inside(self, descent: Descent, path: bytes, meta: Meta) -> Generator[Job, None, list[bytes]]:
        if self._device is None:
            self._device = meta.device
        if self._rules.selection.one_file_system and meta.device != self._device:
            return []
        directory = descent.enter(path)
        if identity_of(directory) != meta.identity:
            raise Replaced
        if self._rules.selection.exclude_caches and is_cache(directory):
            return (yield from self._members(path, directory, [CACHE_TAG]))
        return (yield from self._members(path, directory, _sorted_names(directory)))

    def _members(self, path: bytes, directory: int, names: list[bytes]) -> Generator[Job, None, list[bytes]]:
        """Add all but the subdirectories, whose names are returned."""
        batches, small = self._batches, self._rules.segment_size
        batches.enter(path, identity_of(directory))
        subdirectories = []
        for name in names:
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except OSError as error:
                self._report(_join(path, name), error)
                continue
            if self._is_left_out(path, name, status):
                continue
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFREG and status.st_nlink == 1 and status.st_size < small:
                batches.add((name, status.st_size), status.st_size)
            elif kind == stat.S_IFDIR:
                subdirectories.append(name)
            else:
                yield from self._special(path, directory, name, status)
            if batches.ready:
                yield from batches.take()
        return subdirectories

    def _is_left_out(self, path: bytes, name: bytes, status: os.stat_result) -> bool:
        if len(path) + len(name) >= self._longest_path:
            self._add_problem(_join(path, name), ProblemKind.UNREADABLE, f"longer than {self._longest_path} bytes")
            return True
        if not path or not self._rules.selection.patterns:
            return False
        inside = _join(path, name).partition(b"/")[2]
        return self._rules.selection.excludes(inside, is_directory=stat.S_ISDIR(status.st_mode))

    def _special(self, path: bytes, directory: int, name: bytes, status: os.stat_result) -> Iterator[Job]:
        meta = meta_of(status)
        full = _join(path, name)
        try:
            if meta is None:
                self._add_problem(full, ProblemKind.SKIPPED, "a socket cannot be archived")
            elif meta.type == REGULAR:
                yield from self._regular(path, directory, Node(name, meta), status.st_nlink)
            else:
                link = os.readlink(name, dir_fd=directory) if meta.type == SYMLINK else b""
                self._batches.add(Node(name, meta, link), len(link))
        except OSError as error:
            self._report(full, error)

    def _regular(self, path: bytes, directory: int, file: Node, links: int) -> Iterator[Job]:
        """A file that is large or has several names. It is opened once here: what cannot be read leads nobody."""
        full = _join(path, file.name)
        is_linked = links > 1 and self._rules.hard_links
        first = self._links.first_path(file.meta.identity) if is_linked else None
        if first is not None:
            meta = file.meta._replace(type=HARD_LINK, size=0)
            self._batches.add(Node(file.name, meta, first), len(first))
            return
        os.close(open_file(file.name, directory))
        is_leader = is_linked and self._links.remember(file.meta.identity, full, links)
        if file.meta.size >= self._rules.segment_size:
            yield from self._large(path, directory, file, is_leader=is_leader)
        elif is_leader:
            self._batches.add(Leader(file.name, file.meta), file.meta.size)
        else:
            self._batches.add((file.name, file.meta.size), file.meta.size)

    def _large(self, path: bytes, directory: int, file: Node, *, is_leader: bool) -> Iterator[Job]:
        self._batches.add(file)
        self._batches.cut()
        yield from self._batches.take()
        identity, step = identity_of(directory), self._rules.segment_size
        for offset in range(0, file.meta.size, step):
            yield Piece(path, identity, file, offset, min(step, file.meta.size - offset), is_leader)

    def _report(self, path: bytes, error: OSError) -> None:
        self._add_problem(path, *explain(error))

    def _add_problem(self, path: bytes, kind: ProblemKind, reason: str) -> None:
        self.problems.append(Problem(path, kind, reason))


def _sorted_names(directory: int) -> list[bytes]:
    with os.scandir(directory) as entries:
        names = [os.fsencode(entry.name) for entry in entries]
    names.sort()
    return names


def _join(path: bytes, name: bytes) -> bytes:
    return b"%b/%b" % (path, name) if path else name
