"""What was moved from one directory to another while a tree was walked, and so may have been met in neither."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from async_backup.archive.content import rest_after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.archive.descent import Descent

LISTINGS_LIMIT = 200_000
"""Directories that are remembered (some 200 bytes each); what is moved into further ones is not noticed."""


class Listings:
    """The directories of a walk in their order, and their ctimes when they were listed.

    What moves from a directory that is not listed yet into one that was is in neither list. It changes both: the first
    one before it is listed, the second one after.
    """

    def __init__(self) -> None:
        self._began = time.time_ns()
        self._listed: list[tuple[bytes, int]] = []
        self._late: list[tuple[int, bytes]] = []

    def note(self, path: bytes, ctime_ns: int) -> None:
        """Note a directory that has been listed."""
        if ctime_ns + rest_after(ctime_ns) >= self._began:
            self._late.append((len(self._listed), path))
        if len(self._listed) < LISTINGS_LIMIT:
            self._listed.append((path, ctime_ns))

    def doubtful(self, descent: Descent) -> Iterator[bytes]:
        """At the end of the walk, the directories that something may have been moved out of unseen."""
        if not self._late:
            return
        before = self._listed[: self._late[-1][0]]
        changed = next((number for number, listed in enumerate(before) if _has_changed(descent, *listed)), len(before))
        yield from (path for number, path in self._late if number > changed)


def _has_changed(descent: Descent, path: bytes, ctime_ns: int) -> bool:
    try:
        return os.fstat(descent.enter(path)).st_ctime_ns != ctime_ns
    except OSError:
        return True
