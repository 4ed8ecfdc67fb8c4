"""From a tree to the list of its segments: a walk in a stable order, cut where the design says.

The members of one directory come first, in the order of their names' bytes, then each of its subdirectories
with all that is below it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from async_backup.archive.content import REREADS
from async_backup.archive.descent import Descent, identity_of, open_file
from async_backup.archive.jobs import Batches, Leader, Node, Piece, path_in
from async_backup.archive.links import Links
from async_backup.archive.listings import Listings
from async_backup.archive.member import (
    DIRECTORY,
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
from async_backup.archive.sparse import EXTENT_LIMIT, data_size, extents, may_have_holes, slices, sparse_of
from async_backup.archive.xattrs import NO_XATTRS, xattrs_by_name, xattrs_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from async_backup.archive.jobs import Job
    from async_backup.archive.sparse import Extent
    from async_backup.archive.xattrs import Xattrs

PATH_LIMIT = 60_000
"""Bytes of a path that the index can hold."""

XATTRS_LIMIT = 4 << 20
"""Bytes of extended attributes of one file, where half a segment is not less; the parser of tars takes 16 MiB."""

_MOVED = "something may have been moved from it into a directory that had been listed before, and be missing"

_BYTES_AN_EXTENT = 64
"""Of a segment, for each entry of a sparse map: two numbers of up to 19 digits, with their ends."""


@dataclass(frozen=True, slots=True)
class PlanRules:
    """How a tree is cut and what is left out; sizes in bytes. Without `hard_links` each link carries the content."""

    segment_size: int
    selection: Selection = field(default_factory=Selection)
    hard_links: bool = True
    xattrs: bool = True


class Planner:
    """Plans the archive of one entry; nothing is read from files, so it is cheap beside the packing."""

    def __init__(self, source: bytes, entry: bytes, rules: PlanRules) -> None:
        self._source = source
        self._entry = entry
        self._rules = rules
        self._batches = Batches(rules.segment_size)
        self._links = Links()
        self._listings = Listings()
        self._device: int | None = None
        self._longest_path = min(PATH_LIMIT, rules.segment_size // 8)
        self._xattrs_limit = min(XATTRS_LIMIT, rules.segment_size // 2)
        self._extent_limit = min(EXTENT_LIMIT, rules.segment_size // _BYTES_AN_EXTENT)
        self.problems: list[Problem] = []

    def jobs(self) -> Iterator[Job]:
        """The segments in the order of the archive. Raises OSError where the source or the entry cannot be read."""
        with Descent(self._source) as descent:
            yield from self._walk(descent)
            for path in self._listings.doubtful(descent):
                self._add_problem(path, ProblemKind.CHANGED, _MOVED)
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
                waiting.append((path_in(parent, name), iter(inside)))

    def _directory(self, descent: Descent, parent: bytes, name: bytes) -> Generator[Job, None, list[bytes]]:
        """Add the directory itself and the files in it; returns the names of its subdirectories."""
        path = path_in(parent, name)
        try:
            above = descent.enter(parent)
            meta = meta_of(os.stat(name, dir_fd=above, follow_symlinks=False))
            if meta is None or meta.type != DIRECTORY:
                raise Replaced
            self._batches.enter(parent, identity_of(above))
            if self._is_elsewhere(meta):
                self._add_node(path, Node(name, meta), self._xattrs_by_name(name, above))
                return []
            directory = self._opened(descent, path, Node(name, meta))
            return (yield from self._inside(path, directory))
        except OSError as error:
            if not parent:
                raise  # nothing of the entry can be read
            self._report(path, error)
            return []

    def _is_elsewhere(self, meta: Meta) -> bool:
        """Whether a directory stays empty because it is on another file system than the first one."""
        if self._device is None:
            self._device = meta.device
        return meta.device != self._device and self._rules.selection.one_file_system

    def _opened(self, descent: Descent, path: bytes, node: Node) -> int:
        """Open a directory and add it; without its attributes where it cannot be opened."""
        try:
            directory = descent.enter(path)
            if identity_of(directory) != node.meta.identity:
                raise Replaced
        except OSError:
            self._batches.add(node)
            raise
        self._add_node(path, node, self._xattrs_of(directory))
        return directory

    def _inside(self, path: bytes, directory: int) -> Generator[Job, None, list[bytes]]:
        if self._rules.selection.exclude_caches and is_cache(directory):
            return (yield from self._members(path, directory, [CACHE_TAG]))
        return (yield from self._members(path, directory, self._listed(path, directory)))

    def _listed(self, path: bytes, directory: int) -> list[bytes]:
        """The names in a directory, which is listed again if it changes meanwhile: then a list may lack some."""
        for _ in range(1 + REREADS):
            before = os.fstat(directory).st_ctime_ns
            names = _sorted_names(directory)
            if os.fstat(directory).st_ctime_ns == before:
                break
        else:
            self._add_problem(path, ProblemKind.CHANGED, "it changed while it was listed: names may be missing")
        self._listings.note(path, before)
        return names

    def _members(self, path: bytes, directory: int, names: list[bytes]) -> Generator[Job, None, list[bytes]]:
        """Add all but the subdirectories, whose names are returned."""
        batches, small = self._batches, self._rules.segment_size
        batches.enter(path, identity_of(directory))
        subdirectories = []
        for name in names:
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except OSError as error:
                self._report(path_in(path, name), error)
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
            self._add_problem(path_in(path, name), ProblemKind.UNREADABLE, f"longer than {self._longest_path} bytes")
            return True
        if not path or not self._rules.selection.patterns:
            return False
        inside = path_in(path, name).partition(b"/")[2]
        return self._rules.selection.excludes(inside, is_directory=stat.S_ISDIR(status.st_mode))

    def _special(self, path: bytes, directory: int, name: bytes, status: os.stat_result) -> Iterator[Job]:
        meta = meta_of(status)
        full = path_in(path, name)
        try:
            if meta is None:
                self._add_problem(full, ProblemKind.SKIPPED, "a socket cannot be archived")
            elif meta.type == REGULAR:
                yield from self._regular(path, directory, Node(name, meta), status.st_nlink)
            else:
                link = os.readlink(name, dir_fd=directory) if meta.type == SYMLINK else b""
                self._add_node(full, Node(name, meta, link), self._xattrs_by_name(name, directory))
        except OSError as error:
            self._report(full, error)

    def _regular(self, path: bytes, directory: int, file: Node, links: int) -> Iterator[Job]:
        """A file that is large or has several names. It is opened once here: what cannot be read leads nobody."""
        full = path_in(path, file.name)
        is_linked = links > 1 and self._rules.hard_links
        first = self._links.first_path(file.meta) if is_linked else None
        if first is not None:
            meta = file.meta._replace(type=HARD_LINK, size=0)
            self._batches.add(Node(file.name, meta, first), len(first))
            return
        file, xattrs, parts = self._looked_at(directory, file)
        is_leader = is_linked and self._links.remember(file.meta, full, links)
        if file.meta.size >= self._rules.segment_size:
            self._add_node(full, file, xattrs)
            self._batches.cut()
            yield from self._batches.take()
            yield from self._pieces(path, directory, Node(file.name, file.meta), parts, is_leader=is_leader)
        elif is_leader:
            self._batches.add(Leader(file.name, file.meta), file.meta.size)
        else:
            self._batches.add((file.name, file.meta.size), file.meta.size)

    def _looked_at(self, directory: int, file: Node) -> tuple[Node, Xattrs, list[Extent]]:
        """The file as it is once it is open; if it is large, also its attributes and where it has data."""
        descriptor = open_file(file.name, directory)
        try:
            status = os.fstat(descriptor)
            meta = meta_of(status)
            if meta is None or meta.type != REGULAR or meta.identity != file.meta.identity:
                raise Replaced
            file = file._replace(meta=meta)
            if meta.size < self._rules.segment_size:
                return file, NO_XATTRS, []
            parts = [(0, meta.size)]
            if may_have_holes(status):
                found = extents(descriptor, meta.size, self._extent_limit)
                file = file._replace(sparse=sparse_of(found, meta.size))
                parts = found if file.sparse else parts
            return file, self._xattrs_of(descriptor), parts
        finally:
            os.close(descriptor)

    def _pieces(
        self, path: bytes, directory: int, file: Node, parts: list[Extent], *, is_leader: bool
    ) -> Iterator[Piece]:
        identity, total, offset = identity_of(directory), data_size(parts), 0
        for piece in slices(parts, self._rules.segment_size):
            length = data_size(piece)
            is_last = offset + length == total
            yield Piece(path, identity, file, offset, length, piece, is_last, is_leader)
            offset += length

    def _add_node(self, path: bytes, node: Node, xattrs: Xattrs) -> None:
        if xattrs.problem:
            self._add_problem(path, ProblemKind.XATTRS, xattrs.problem)
        size = len(node.link) + len(xattrs.records) + (len(node.sparse.map) if node.sparse else 0)
        self._batches.add(node._replace(extra=xattrs.records) if xattrs.records else node, size)

    def _xattrs_of(self, descriptor: int) -> Xattrs:
        return xattrs_of(descriptor, self._xattrs_limit) if self._rules.xattrs else NO_XATTRS

    def _xattrs_by_name(self, name: bytes, directory: int) -> Xattrs:
        return xattrs_by_name(name, directory, self._xattrs_limit) if self._rules.xattrs else NO_XATTRS

    def _report(self, path: bytes, error: OSError) -> None:
        self._add_problem(path, *explain(error))

    def _add_problem(self, path: bytes, kind: ProblemKind, reason: str) -> None:
        self.problems.append(Problem(path, kind, reason))


def _sorted_names(directory: int) -> list[bytes]:
    with os.scandir(directory) as entries:
        names = [os.fsencode(entry.name) for entry in entries]
    names.sort()
    return names
