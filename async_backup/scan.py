"""From sources to entries and the final names of their archives; what would collide is refused at once."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from async_backup.archive_names import SUFFIX
from async_backup.errors import SettingsError, SourceError
from async_backup.events import EntrySkipped, SourceEmpty
from async_backup.model import Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from async_backup.archive.selection import Selection


@dataclass(frozen=True, slots=True)
class Source:
    """A directory whose entries are backed up into `directory` below the destination."""

    path: Path
    directory: bytes


def resolve_sources(paths: Sequence[Path], only: Sequence[str] = ()) -> tuple[Source, ...]:
    """The sources and their places: several ones get a directory each, named like them.

    Raises SourceError where one cannot be listed, or has none of the entries in `only` where some are named there;
    SettingsError where two would share a directory.
    """
    for path in paths:
        _check_readable(path)
    if only and not any(os.path.lexists(path / name) for path in paths for name in only):
        raise _missing(only, paths)
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


def _missing(names: Sequence[str], paths: Sequence[Path]) -> SourceError:
    called, places = " or ".join(names), " or ".join(map(str, paths))
    return SourceError(f"there is no entry called {called} in {places}")


def scan(
    source: Source, timestamp: str, selection: Selection, only: Collection[bytes] = ()
) -> Iterator[Entry | EntrySkipped]:
    """The entries of a source as the system lists them, one at a time, or those in `only`; raises SourceError."""
    suffix = b"-" + os.fsencode(timestamp) + SUFFIX
    seen: set[bytes] = set()
    try:
        with os.scandir(os.fsencode(source.path)) as listing:
            for found in listing:
                if found.name in seen:
                    continue  # a listing may last as long as the run, and show what is made anew a second time
                seen.add(found.name)
                if not only or found.name in only:
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
    sources: Sequence[Source], timestamp: str, selection: Selection, only: Sequence[str] = ()
) -> Iterator[Entry | EntrySkipped | SourceEmpty | SourceError]:
    """The entries of all sources, or those called as in `only`.

    A source that cannot be listed to its end, and a name that no source has, give an error each.
    """
    wanted = {os.fsencode(name): name for name in only}
    missing = dict(wanted)
    for source in sources:
        count = _Count()
        with closing(scan(source, timestamp, selection, wanted)) as entries:  # type: ignore[type-var]
            try:
                for item in entries:
                    missing.pop(count.add(item), None)
                    yield item
            except SourceError as error:
                yield error
                continue
        if count.entries == 0 and (count.skipped or not only):
            yield SourceEmpty(os.fsencode(source.path), count.skipped)
    paths = [source.path for source in sources]
    yield from (_missing([name], paths) for name in missing.values())


class _Count:
    """Counts what was found in a source."""

    def __init__(self) -> None:
        self.entries = 0
        self.skipped = 0

    def add(self, item: Entry | EntrySkipped) -> bytes:
        """Count it; returns its name."""
        if isinstance(item, Entry):
            self.entries += 1
            return item.name
        self.skipped += 1
        return os.path.basename(item.path)
