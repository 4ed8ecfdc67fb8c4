"""Which archives are verified, and what was recorded of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive_names import SUFFIX
from async_backup.catalog import read_directories
from async_backup.checksum_files import SIZE_LIMIT, checksum_name, recorded_digest
from async_backup.config import HASHES
from async_backup.errors import RemoteNotFound
from async_backup.remote.places import path_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from async_backup.catalog import Catalog, StoredArchive
    from async_backup.remote.base import RemoteEntry, RemoteStore


class BadChecksumFile(ValueError):
    """A checksum file cannot be used; the text says why."""


class Item(NamedTuple):
    """An archive to verify, and its checksum file: of the strongest hash, where there are several.

    `size` is that file's, in bytes. `is_ours` where a missing one is somebody's fault: the archive was named, or its
    name is one of ours.
    """

    archive: StoredArchive
    is_ours: bool
    algorithm: str = ""
    size: int = 0

    @property
    def checksum_file(self) -> bytes:
        return checksum_name(self.archive.path, self.algorithm)


def choose(catalog: Catalog, names: Sequence[bytes]) -> list[StoredArchive]:
    """The archives that a person named by themselves, by entries or by `ENTRY@TIME`; all without names.

    Raises RemoteNotFound with the nearest names, SettingsError for a time that cannot be read.
    """
    if not names:
        return list(catalog.archives)
    entries = {archive.entry for archive in catalog.archives}
    chosen: set[bytes] = set()
    for name in map(catalog.meant, names):
        found = catalog.of_entries([name]).archives if name in entries else (catalog.find(name),)
        chosen.update(archive.path for archive in found)
    return [archive for archive in catalog.archives if archive.path in chosen]


def items(archives: Iterable[StoredArchive], sizes: Mapping[bytes, int], *, are_named: bool) -> Iterator[Item]:
    """What to verify, with `sizes` as `checksum_files` gives them."""
    for archive in archives:
        yield _item(archive, sizes, is_ours=are_named or archive.when is not None)


async def look_again(store: RemoteStore, lacking: Sequence[Item]) -> list[Item]:
    """The same archives with the checksum files that lie beside them by now; raises RemoteError.

    A run gives an archive its name first and writes the checksum file then.
    """
    if not lacking:
        return []
    sizes = checksum_files(await read_directories(store))
    return [_item(item.archive, sizes, is_ours=item.is_ours) for item in lacking]


def _item(archive: StoredArchive, sizes: Mapping[bytes, int], *, is_ours: bool) -> Item:
    there = [name for name in HASHES if checksum_name(archive.path, name) in sizes]
    algorithm = there[-1] if there else ""
    return Item(archive, is_ours, algorithm, sizes.get(checksum_name(archive.path, algorithm), 0))


def checksum_files(listed: Mapping[bytes, Sequence[RemoteEntry]]) -> dict[bytes, int]:
    """The sizes of the checksum files in what was listed, by path."""
    return {
        b"%b/%b" % (directory, entry.name) if directory else entry.name: entry.size
        for directory, entries in listed.items()
        for entry in entries
        if entry.is_file and _archive_of(entry.name) is not None
    }


def _archive_of(path: bytes) -> bytes | None:
    """The archive of a checksum file."""
    archive, _, algorithm = path.rpartition(b".")
    return archive if archive.endswith(SUFFIX) and algorithm.decode("ascii", "replace") in HASHES else None


def alone(sizes: Iterable[bytes], catalog: Catalog) -> list[bytes]:
    """The checksum files whose archives are gone."""
    archives = {archive.path for archive in catalog.archives}
    return sorted(path for path in sizes if _archive_of(path) not in archives)


async def read_record(store: RemoteStore, item: Item) -> str:
    """The recorded digest of an archive; raises BadChecksumFile, RemoteError."""
    if item.size > SIZE_LIMIT:
        raise BadChecksumFile(_bad(item, "it is too long"))
    content = b""
    if item.size:
        content = await store.read_ending(path_in(store, item.checksum_file), item.size, item.size)
    try:
        return recorded_digest(content, item.algorithm, os.path.basename(item.archive.path))
    except ValueError as error:
        raise BadChecksumFile(_bad(item, str(error))) from error


def _bad(item: Item, reason: str) -> str:
    name = os.fsdecode(os.path.basename(item.checksum_file))
    return f"its checksum file {name} is of no use: {reason}; remove it, and --deep --repair-checksums writes a new one"


def check_any(archives: Sequence[StoredArchive], where: bytes) -> None:
    """Raise RemoteNotFound where there is nothing to verify."""
    if not archives:
        raise RemoteNotFound(f"there are no archives in {os.fsdecode(where)}")
