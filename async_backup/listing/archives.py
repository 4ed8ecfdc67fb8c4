"""The public call that lists a destination: names, footers, and where wanted the checksum files."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from async_backup.catalog import catalog_of, read_directories
from async_backup.endings import read_checksums, read_endings
from async_backup.remote.naming import is_temporary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from async_backup.archive.index import Footer
    from async_backup.archive_names import NameParser
    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteEntry, RemoteStore


class ListedArchive(NamedTuple):
    """An archive and what its end tells; without a footer, `problem` says why it is not known to be whole.

    `checksums` are the values in its checksum files by algorithm, None where a file holds something else. Where they
    were not asked for, the dictionary is empty.
    """

    archive: StoredArchive
    footer: Footer | None
    problem: str
    checksums: Mapping[str, str | None]


class Listing(NamedTuple):
    """The archives by entry, from the oldest to the newest, and the paths of unfinished files of runs."""

    archives: tuple[ListedArchive, ...]
    temporary: tuple[bytes, ...]

    def newest(self, until: datetime) -> dict[bytes, StoredArchive | None]:
        """Of each entry the newest archive that ends as ours do, by the time in its name; None where it has none.

        What is later than `until` does not count.
        """
        timed = (listed for listed in self.archives if listed.archive.when is not None)
        return {
            entry: next((one.archive for one in reversed(list(all_of_it)) if one.footer and _is_by(one, until)), None)
            for entry, all_of_it in groupby(timed, key=lambda listed: listed.archive.entry)
        }

    def outdated(self, before: datetime, until: datetime) -> dict[bytes, StoredArchive | None]:
        """The newest archives, as `newest` has them, of entries that have none from `before` or later."""
        return {
            entry: archive
            for entry, archive in self.newest(until).items()
            if archive is None or archive.when is None or archive.when < before
        }

    def later_than(self, until: datetime) -> list[StoredArchive]:
        """The archives whose names tell a later time."""
        return [one.archive for one in self.archives if one.archive.when is not None and not _is_by(one, until)]


def _is_by(listed: ListedArchive, until: datetime) -> bool:
    return listed.archive.when is not None and listed.archive.when <= until


async def list_archives(
    store: RemoteStore, names: NameParser, entries: Sequence[bytes] = (), *, checksums: bool = False
) -> Listing:
    """What there is of some entries, or of all where none is named; `checksums` costs more round trips.

    Raises RemoteNotFound for an entry without any archive, RemoteError.
    """
    directories = await read_directories(store)
    archives = catalog_of(directories, names).of_entries(entries).archives
    endings = await read_endings(store, archives)
    values = await read_checksums(store, archives) if checksums else [{} for _ in archives]
    listed = (
        ListedArchive(archive, ending.footer, ending.problem, found)
        for archive, ending, found in zip(archives, endings, values, strict=True)
    )
    return Listing(tuple(listed), tuple(sorted(_temporary(directories))))


def _temporary(directories: Mapping[bytes, Sequence[RemoteEntry]]) -> Iterator[bytes]:
    for directory, entries in directories.items():
        prefix = directory + b"/" if directory else b""
        yield from (prefix + entry.name for entry in entries if entry.is_file and is_temporary(entry.name))
