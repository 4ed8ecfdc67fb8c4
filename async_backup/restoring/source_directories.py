"""The directories that the archives of several sources come back to, as they lie in some of the destination."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from async_backup.errors import RestoreError
from async_backup.restoring.target import prepare

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from async_backup.catalog import StoredArchive


class SourceDirectories:
    """Those in `target`, made before any archive could put a link in the place of one."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._made: list[Path] = []
        self._wrong: dict[bytes, RestoreError] = {}

    def make(self, archives: Sequence[StoredArchive]) -> None:
        """Make all that the archives need, but for those that something is wrong with."""
        entries = {archive.entry for archive in archives}
        self._made = _missing(self._target)
        for directory in sorted({os.path.dirname(archive.path) for archive in archives} - {b""}):
            try:
                self._make(directory, entries)
            except RestoreError as error:
                self._wrong[directory] = error

    def _make(self, directory: bytes, entries: Collection[bytes]) -> None:
        target = self._target / os.fsdecode(directory)
        check_directory(target, directory, entries)
        self._made += _missing(target)
        prepare(target)

    def wrong_with(self, archive: StoredArchive) -> RestoreError | None:
        """Why nothing can be restored to the archive's directory."""
        return self._wrong.get(os.path.dirname(archive.path))

    def remove_empty(self) -> None:
        """Remove what was made and not needed, the target itself among it."""
        for path in reversed(self._made):
            with suppress(OSError):  # something is in it
                path.rmdir()


def _missing(path: Path) -> list[Path]:
    """The directories that have to be made for it, the outermost first."""
    return [one for one in reversed((path, *path.parents)) if not os.path.lexists(one)]


def check_directory(target: Path, directory: bytes, entries: Collection[bytes]) -> None:
    """Raise RestoreError where nothing may go to `target`, as a `directory` of the destination does."""
    if directory in entries:
        raise RestoreError(f"{target} is where the entry {os.fsdecode(directory)} goes; restore it by itself")
    if os.path.islink(target):  # which is false, and no error, for a name that is too long
        raise RestoreError(f"{target} is a symbolic link, and nothing is written through one")
