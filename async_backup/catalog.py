"""What is in a destination: its archives by entry and time, told by names alone."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from anyio import CapacityLimiter

from async_backup.archive_names import SUFFIX, parse_moment
from async_backup.config import HASHES
from async_backup.errors import ConnectionDropped, RemoteError, RemoteNotFound, Unreachable
from async_backup.remote.places import path_in
from async_backup.tasks import task_group
from async_backup.text import unescaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from async_backup.archive_names import NameParser
    from async_backup.remote.base import RemoteEntry, RemoteStore

_LISTINGS_AT_ONCE = 16
_NEAREST = 3
_AT_ONCE = 64
_SIZE_AT_ONCE = 128 << 20
_LARGE_AT_ONCE = 4
"""Archives that are looked into at once if they are of more than `_SIZE_AT_ONCE` bytes together."""


class StoredArchive(NamedTuple):
    """An archive on the server.

    Attributes:
        path: Its path below the destination.
        entry: What it is an archive of, with the directory of its source in front; its path where its name does
            not tell.
        when: The time in its name, local to the machine that made it; None where its name tells none.
        size: Bytes.
        mtime: Seconds, by the server's clock.
        checksums: The hashes of which a checksum file lies beside it.
    """

    path: bytes
    entry: bytes
    when: datetime | None
    size: int
    mtime: float
    checksums: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The archives of a destination: by entry, and within each from the oldest to the newest."""

    archives: tuple[StoredArchive, ...]

    def entries(self) -> dict[bytes, list[StoredArchive]]:
        """The archives whose names tell entry and time, by entry."""
        found: dict[bytes, list[StoredArchive]] = {}
        for archive in self.archives:
            if archive.when is not None:
                found.setdefault(archive.entry, []).append(archive)
        return found

    def meant(self, name: bytes) -> bytes:
        """The name itself where an archive or an entry has it, otherwise what it means if it was typed as shown."""
        is_there = any(name in {archive.entry, archive.path} for archive in self.archives)
        return name if is_there else unescaped(name)

    def of_entries(self, names: Sequence[bytes]) -> Catalog:
        """What there is of some entries, or of all where none is named; raises RemoteNotFound for one without any."""
        known = {archive.entry for archive in self.archives}
        names = [self.meant(name) for name in names]
        for name in names:
            if name not in known:
                raise self._no_entry(name, known)
        return Catalog(tuple(archive for archive in self.archives if not names or archive.entry in names))

    def _no_entry(self, name: bytes, known: set[bytes]) -> RemoteNotFound:
        for archive in self.archives:
            if archive.path == name:
                entry = os.fsdecode(archive.entry)
                return RemoteNotFound(f"{os.fsdecode(name)} is an archive; name its entry here: {entry}")
        entry_name, _, moment = name.rpartition(b"@")
        if entry_name in known:
            entry, told = os.fsdecode(entry_name), os.fsdecode(moment)
            return RemoteNotFound(f"no single archive can be named here, so leave out @{told}: {entry}")
        return _not_found(f"there is no archive of {os.fsdecode(name)}", name, known)

    def newest(self, end: datetime | None = None) -> list[StoredArchive]:
        """The newest archive of each entry, or the newest before `end`; raises RemoteNotFound where there is none."""
        found = {a.entry: a for a in self.archives if a.when is not None and (end is None or a.when < end)}
        if not found:
            raise RemoteNotFound(f"there is no archive of ours{_before(end)} at the destination")
        return list(found.values())

    def newest_of(self, names: Sequence[bytes], end: datetime | None = None) -> list[StoredArchive]:
        """As `newest`, of some entries, of which each has to have one, or of all where none is named."""
        some = self.of_entries(names)
        found = some.newest(end)
        lacking = {archive.entry for archive in some.archives} - {archive.entry for archive in found}
        if names and lacking:
            entries = " and ".join(sorted(map(os.fsdecode, lacking)))
            raise RemoteNotFound(f"there is no archive of ours{_before(end)} of {entries}")
        return found

    def find(self, text: bytes) -> StoredArchive:
        """The archive that a person named: by its path, by its entry (the newest), by `ENTRY@TIME` (not after it).

        A name that is shown with escapes may be typed with them. Raises RemoteNotFound with the nearest names,
        SettingsError for a time that cannot be read.
        """
        meant = unescaped(text)
        if meant != text:
            with suppress(RemoteNotFound):
                return self._find(text)
        return self._find(meant)

    def _find(self, text: bytes) -> StoredArchive:
        for archive in self.archives:
            if archive.path in {text, text + SUFFIX}:
                return archive
        entries = self.entries()
        if text in entries:
            return entries[text][-1]
        entry, _, moment = text.rpartition(b"@")
        if entry in entries:
            return _newest_before(entries[entry], text, parse_moment(os.fsdecode(moment)))
        above, _, below = text.partition(b"/")
        if above in entries and below:
            entry_name, path = os.fsdecode(above), os.fsdecode(below)
            raise RemoteNotFound(
                f"there is no archive {entry_name}/{path}; {path} in {entry_name} is: {entry_name} {path}"
            )
        known = {archive.path for archive in self.archives} if text.endswith(SUFFIX) else set(entries)
        raise _not_found(f"there is no archive or entry called {os.fsdecode(text)}", entry or text, known)


def _before(end: datetime | None) -> str:
    return f" from before {end:%Y-%m-%d %H:%M:%S}" if end else ""


def _newest_before(archives: list[StoredArchive], text: bytes, end: datetime) -> StoredArchive:
    older = [archive for archive in archives if archive.when and archive.when < end]
    if not older:
        oldest = os.fsdecode(archives[0].path)
        raise RemoteNotFound(f"no archive is as old as {os.fsdecode(text)}; the oldest is {oldest}")
    return older[-1]


def _not_found(what: str, name: bytes, known: Iterable[bytes]) -> RemoteNotFound:
    names = [os.fsdecode(other) for other in known]
    near = get_close_matches(os.fsdecode(name), names, n=_NEAREST)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `async-backup list DEST` shows what there is"
    return RemoteNotFound(what + hint)


async def read_catalog(store: RemoteStore, names: NameParser) -> Catalog:
    """List the destination and the directories in it, where sources have theirs; raises RemoteError."""
    return catalog_of(await read_directories(store), names)


async def read_directories(store: RemoteStore) -> dict[bytes, list[RemoteEntry]]:
    """What is in the destination (under the empty name) and in each directory in it; raises RemoteError."""
    found: dict[bytes, list[RemoteEntry]] = {}
    limiter = CapacityLimiter(_LISTINGS_AT_ONCE)

    async def look(directory: bytes) -> None:
        async with limiter:
            try:
                found[directory] = list(await store.entries(path_in(store, directory)))
            except RemoteError as error:
                if not directory or isinstance(error, ConnectionDropped | Unreachable):
                    raise  # but what is not ours to read in the destination is not ours at all

    await look(b"")
    async with task_group() as tasks:
        for entry in found[b""]:
            if entry.is_directory:
                tasks.start_soon(look, entry.name)
    return found


def catalog_of(directories: Mapping[bytes, Sequence[RemoteEntry]], names: NameParser) -> Catalog:
    """The archives in what was listed."""
    archives = [found for directory, entries in directories.items() for found in _archives(directory, entries, names)]
    return Catalog(tuple(sorted(archives, key=_order)))


def _archives(directory: bytes, entries: Sequence[RemoteEntry], names: NameParser) -> Iterator[StoredArchive]:
    prefix = directory + b"/" if directory else b""
    there = {entry.name for entry in entries if entry.is_file}
    for entry in entries:
        if not entry.is_file or not entry.name.endswith(SUFFIX):
            continue
        told = names.parse(entry.name)
        checksums = tuple(name for name in HASHES if entry.name + b"." + name.encode() in there)
        what, when = (told.entry, told.when) if told else (entry.name, None)
        yield StoredArchive(prefix + entry.name, prefix + what, when, entry.size, entry.mtime, checksums)


def _order(archive: StoredArchive) -> tuple[bytes, bool, str, bytes]:
    return archive.entry, archive.when is None, archive.when.isoformat() if archive.when else "", archive.path


def groups_of(archives: Sequence[StoredArchive]) -> Iterator[list[StoredArchive]]:
    """Archives whose indexes, and what is found in them, may be in memory at once: by the sizes of the archives."""
    some: list[StoredArchive] = []
    for archive in archives:
        are_large = sum(one.size for one in some) + archive.size > _SIZE_AT_ONCE
        if len(some) >= (_LARGE_AT_ONCE if are_large else _AT_ONCE):
            yield some
            some = []
        some.append(archive)
    if some:
        yield some
