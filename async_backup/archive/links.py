"""Hard links: which path of an archive the later names of a file refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_backup.archive.member import Meta

LINK_LIMIT = 250_000
"""Inodes with links still to come that a plan remembers (some 250 bytes each); further ones are stored twice."""


class Links:
    """Remembers where an inode with several names was first met, until all its names were.

    An inode whose ctime is another one is not what it was: it may have become that of another file, after all names of
    the first one were removed.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], tuple[bytes, int, int]] = {}

    def first_path(self, file: Meta) -> bytes | None:
        known = self._first.get(file.identity)
        if known is None or known[1] != file.ctime_ns:
            return None
        path, ctime_ns, to_come = known
        if to_come > 1:
            self._first[file.identity] = (path, ctime_ns, to_come - 1)
        else:
            del self._first[file.identity]
        return path

    def remember(self, file: Meta, path: bytes, links: int) -> bool:
        """Whether later names may refer to `path`."""
        if len(self._first) >= LINK_LIMIT and file.identity not in self._first:
            return False
        self._first[file.identity] = (path, file.ctime_ns, links - 1)
        return True
