"""Checksum files whose archives are gone: a prune that ended in the middle left them, or somebody's `rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from async_backup.checksum_files import checksum_line, checksum_name
from async_backup.config import HASHES
from async_backup.endings import read_checksum_file
from async_backup.errors import SERVER_GONE, RemoteError, RemoteNotFound
from async_backup.remote.places import path_in
from async_backup.tasks import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

    from async_backup.archive_names import NameParser
    from async_backup.remote.base import RemoteEntry, RemoteStore

_AT_ONCE = 64


class Orphan(NamedTuple):
    """A file called like the checksum file of an archive that is not there; both are paths in the destination."""

    archive: bytes
    algorithm: str

    @property
    def path(self) -> bytes:
        return checksum_name(self.archive, self.algorithm)


async def find_orphans(
    store: RemoteStore,
    directories: Mapping[bytes, Sequence[RemoteEntry]],
    names: NameParser,
    entries: Sequence[bytes] = (),
) -> tuple[Orphan, ...]:
    """The checksum files, of some entries or of all, that tell of archives that are gone.

    Only a file that holds just the line that we write about that very archive counts. Raises RemoteError where the
    server is gone.
    """
    candidates = [
        candidate
        for directory, found in directories.items()
        for candidate in _candidates(directory, found, names, frozenset(entries))
    ]

    async def is_ours(candidate: Orphan) -> bool:
        recorded = await read_checksum_file(store, candidate.archive, candidate.algorithm)
        name = candidate.archive.rpartition(b"/")[2]
        return recorded.digest is not None and recorded.content == checksum_line(recorded.digest, name)

    are_ours = await side_by_side(is_ours, candidates, at_once=_AT_ONCE)
    return tuple(candidate for candidate, found in zip(candidates, are_ours, strict=True) if found)


def _candidates(
    directory: bytes, found: Sequence[RemoteEntry], names: NameParser, entries: Set[bytes]
) -> Iterator[Orphan]:
    prefix = directory + b"/" if directory else b""
    there = {entry.name for entry in found}
    for entry in found:
        archive, _, ending = entry.name.rpartition(b".")
        algorithm = ending.decode("ascii", "replace")
        if not entry.is_file or algorithm not in HASHES or archive in there:
            continue
        told = names.parse(archive)
        if told is not None and (not entries or prefix + told.entry in entries):
            yield Orphan(prefix + archive, algorithm)


async def is_gone(store: RemoteStore, archive: bytes) -> bool:
    """Whether there is no such archive indeed: a listing may miss a file that is renamed meanwhile.

    Raises RemoteError where the server is gone.
    """
    try:
        reader = await store.open(path_in(store, archive))
    except RemoteNotFound:
        return True
    except SERVER_GONE:
        raise
    except RemoteError:
        return False
    await reader.close()
    return False
