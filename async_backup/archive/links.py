"""Hard links: which path of an archive the later names of a file refer to."""

from __future__ import annotations

LINK_LIMIT = 250_000
"""Inodes with links still to come that a plan remembers (some 250 bytes each); further ones are stored twice."""


class Links:
    """Remembers where an inode with several names was first met, until all its names were."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], tuple[bytes, int]] = {}

    def first_path(self, identity: tuple[int, int]) -> bytes | None:
        known = self._first.get(identity)
        if known is None:
            return None
        path, to_come = known
        if to_come > 1:
            self._first[identity] = (path, to_come - 1)
        else:
            del self._first[identity]
        return path

    def remember(self, identity: tuple[int, int], path: bytes, links: int) -> bool:
        """Whether later names may refer to `path`."""
        if len(self._first) >= LINK_LIMIT:
            return False
        self._first[identity] = (path, links - 1)
        return True
