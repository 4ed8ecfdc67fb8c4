"""From sources to entries and the final names of their archives; what would collide is refused at once."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from async_backup.errors import SettingsError, SourceError
from async_backup.events import EntrySkipped
from async_backup.model import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from async_backup.archive.selection import Selection

SUFFIX = b".tar.gz"


@dataclass(frozen=True, slots=True)
class Source:
    """A directory whose entries are backed up into `directory` below the destination."""

    path: Path
    directory: bytes


def resolve_sources(paths: Sequence[Path]) -> tuple[Source, ...]:
    """The sources and their places: several ones get a directory each, named like them.

    Raises SourceError where one cannot be listed, SettingsError where two would share a directory.
    """
    for path in paths:
        _check_readable(path)
    if len(paths) == 1:
        return (Source(paths[0], b""),)
    places: dict[bytes, Path] = {}
    for path in paths:
        name = os.path.basename(os.path.abspath(os.fsencode(path)))
        if not name:
            raise SettingsError(f"{path} has no name to put its archives under; back it up alone")
        if name in places:
            raise SettingsError(
                f"{places[name]} and {path} are both called {os.fsdecode(name)}: their archives would mix; "
                "back them up into different destinations"
            )
        places[name] = path
    return tuple(Source(path, name) for name, path in places.items())


def _check_readable(path: Path) -> None:
    try:
        os.scandir(path).close()
    except NotADirectoryError as error:
        raise SourceError(
            f"{path} is not a directory; name the directory whose entries should become archives"
        ) from error
    except OSError as error:
        raise SourceError(f"the source {path} cannot be read: {error.strerror}") from error


def scan(source: Source, timestamp: str, selection: Selection) -> Iterator[Entry | EntrySkipped]:
    """The entries of a source as the system lists them, one at a time; raises SourceError."""
    suffix = b"-" + os.fsencode(timestamp) + SUFFIX
    try:
        with os.scandir(os.fsencode(source.path)) as listing:
            for found in listing:
                yield _entry(source, found, suffix, selection)
    except OSError as error:
        raise SourceError(f"the source {source.path} cannot be read to its end: {error.strerror}") from error


def _entry(source: Source, found: os.DirEntry[bytes], suffix: bytes, selection: Selection) -> Entry | EntrySkipped:
    if selection.excludes(found.name, is_directory=found.is_dir(follow_symlinks=False)):
        return EntrySkipped(found.path, "excluded")
    if _is_socket(found):
        return EntrySkipped(found.path, "a socket cannot be archived")
    return Entry(source.path, found.name, source.directory, found.name + suffix)


def _is_socket(found: os.DirEntry[bytes]) -> bool:
    if found.is_symlink() or found.is_file(follow_symlinks=False) or found.is_dir(follow_symlinks=False):
        return False
    try:
        return stat.S_ISSOCK(found.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def scan_all(
    sources: Sequence[Source], timestamp: str, selection: Selection
) -> Iterator[Entry | EntrySkipped | SourceError]:
    """The entries of all sources; one that cannot be listed to its end gives its error in its place."""
    for source in sources:
        with closing(scan(source, timestamp, selection)) as entries:  # type: ignore[type-var]
            try:
                yield from entries
            except SourceError as error:
                yield error
