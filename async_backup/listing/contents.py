"""What is in an archive, told by its index alone: members are handed on one by one, never gathered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from async_backup.archive.index import CHANGED, PIECE
from async_backup.archive.member import DIRECTORY
from async_backup.archived import read_archive
from async_backup.errors import DamagedArchive
from async_backup.index_paths import full_path, is_at_or_below, members_of, not_in_archive
from async_backup.remote.places import open_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backup.archive.index import Member, Segment
    from async_backup.archived import IndexedArchive
    from async_backup.remote.base import RemoteStore


async def read_contents(store: RemoteStore, path: bytes) -> Contents:
    """The contents of an archive at that path in the destination; raises NoIndex, DamagedArchive, RemoteError."""
    async with open_reader(store, path) as reader:
        return Contents(await read_archive(reader, path))


class Contents:
    """The members of an archive; an index that is damaged inside raises DamagedArchive from any method."""

    def __init__(self, archive: IndexedArchive) -> None:
        self.name = archive.name
        self._segments = archive.segments

    def members(self, paths: Sequence[bytes] = (), *, recursive: bool = False) -> Iterator[Member]:
        """All members, or those of `paths`: files, and of directories what is directly in them, or at any depth.

        They come in the order of the archive. A large file is flagged as changed where any piece of it is. Raises
        NotInArchive before the first one.
        """
        try:
            wanted = _Wanted(self._segments, paths, self.name, is_recursive=recursive)
            yield from (member for member in _merged(self._segments) if wanted.holds(member.path))
        except ValueError as error:
            raise DamagedArchive(f"{self.name}: {error}") from error


class _Wanted:
    """Says of a member whether it is to be shown."""

    def __init__(self, segments: Sequence[Segment], paths: Sequence[bytes], name: str, *, is_recursive: bool) -> None:
        full = {full_path(path, segments) for path in paths}
        self._trees = frozenset(full) if is_recursive else frozenset()
        self._is_all = not paths
        directories = _find(segments, full, name)
        self._files = frozenset(full - directories)
        self._directories = frozenset(directories)

    def holds(self, path: bytes) -> bool:
        if self._is_all or path in self._files or os.path.dirname(path) in self._directories:
            return True
        return any(is_at_or_below(path, tree) for tree in self._trees)


def _find(segments: Sequence[Segment], paths: set[bytes], name: str) -> set[bytes]:
    """Those of the paths that are directories; raises NotInArchive for one that is nothing."""
    missing, directories = set(paths), set()
    for member in members_of(segments) if paths else ():
        if member.path in missing:
            missing.discard(member.path)
            if member.type == DIRECTORY:
                directories.add(member.path)
            if not missing:
                break
    for path in sorted(missing):
        raise not_in_archive(path, name, segments)
    return directories


def _merged(segments: Sequence[Segment]) -> Iterator[Member]:
    """Members without their pieces, which follow the large file that they are of."""
    last: Member | None = None
    for member in members_of(segments):
        if member.type != PIECE:
            if last is not None:
                yield last
            last = member
        elif last is not None and member.path == last.path:
            last = last._replace(flags=last.flags | (member.flags & CHANGED))
    if last is not None:
        yield last
