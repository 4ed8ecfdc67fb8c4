"""Which archives hold a file, and which versions of it: told by their indexes alone."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from anyio import Lock, Semaphore, to_thread

from async_backup.archive.member import DIRECTORY
from async_backup.archive.selection import Selection
from async_backup.archived import read_archive
from async_backup.catalog import read_catalog
from async_backup.errors import SERVER_GONE, DamagedArchive, RemoteError
from async_backup.index_paths import inside_entry
from async_backup.listing.contents import Contents
from async_backup.remote.places import open_listed
from async_backup.tasks import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from async_backup.archive.index import Member
    from async_backup.archive_names import NameParser
    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteStore

_AT_ONCE = 64
_LARGE = 16 << 20
_LARGE_AT_ONCE = 2
"""Archives above `_LARGE` bytes whose indexes may be in memory at once."""

_PATHS_REMEMBERED = 1 << 17


class Version(NamedTuple):
    """A file as so many archives in a row have it, without a change of its type, size, time or target."""

    member: Member
    first: StoredArchive
    last: StoredArchive
    archives: int


class Found(NamedTuple):
    """A path inside an entry, and its versions from the oldest to the newest."""

    entry: bytes
    path: bytes
    versions: tuple[Version, ...]


class Finding(NamedTuple):
    """What was found, by entry and path; `unread` are archives whose indexes cannot be read, and why."""

    found: tuple[Found, ...]
    archives: int
    unread: tuple[tuple[StoredArchive, str], ...]


async def find(
    store: RemoteStore, names: NameParser, patterns: Sequence[str], entries: Sequence[bytes] = ()
) -> Finding:
    """Look for what matches gitignore's `patterns` in all archives, or in those of some entries.

    Of a directory that matches nothing below it is told. Raises RemoteNotFound for an entry without any archive,
    ValueError for a pattern that is none, RemoteError where the server is gone.
    """
    archives = (await read_catalog(store, names)).of_entries(entries).archives
    search = _Search(store, _matcher(Selection(tuple(patterns))))
    results = await side_by_side(search.members_in, archives, at_once=_AT_ONCE)
    looked = list(zip(archives, results, strict=True))
    unread = tuple((archive, result) for archive, result in looked if isinstance(result, str))
    read = [(archive, result) for archive, result in looked if not isinstance(result, str)]
    found = [
        Found(entry, path, tuple(versions))
        for entry, of_entry in groupby(read, key=lambda one: one[0].entry)
        for path, versions in sorted(_versions(list(of_entry)).items())
    ]
    return Finding(tuple(found), len(archives), unread)


def _matcher(selection: Selection) -> Callable[[bytes, bool], bool]:
    """Whether a path matches, and nothing above it does."""

    @lru_cache(_PATHS_REMEMBERED)
    def matches(path: bytes, is_directory: bool) -> bool:
        return selection.excludes(path, is_directory=is_directory)

    def matches_first(path: bytes, is_directory: bool) -> bool:
        parent = path.rpartition(b"/")[0]
        return matches(path, is_directory) and not (parent and matches(parent, True))

    return matches_first


class _Search:
    """Looks into archives; few large indexes are in memory at the same time."""

    def __init__(self, store: RemoteStore, matches: Callable[[bytes, bool], bool]) -> None:
        self._store = store
        self._matches = matches
        self._large = Semaphore(_LARGE_AT_ONCE)
        self._turn = Lock()

    async def members_in(self, archive: StoredArchive) -> dict[bytes, Member] | str:
        """The members that match, by their paths inside the entry; why it cannot be told, otherwise."""
        try:
            if archive.size <= _LARGE:
                return await self._look(archive)
            async with self._large:
                return await self._look(archive)
        except SERVER_GONE:
            raise
        except (DamagedArchive, RemoteError) as error:
            return str(error.__cause__ or error)

    async def _look(self, archive: StoredArchive) -> dict[bytes, Member]:
        async with open_listed(self._store, archive.path, archive.size) as reader:
            contents = Contents(await read_archive(reader, archive.path))
        async with self._turn:
            return await to_thread.run_sync(lambda: dict(self._matching(contents)), abandon_on_cancel=True)

    def _matching(self, contents: Contents) -> Iterator[tuple[bytes, Member]]:
        for member in contents.members():
            path, is_directory = inside_entry(member.path), member.type == DIRECTORY
            is_top = is_directory and b"/" not in member.path
            if not is_top and self._matches(path, is_directory):
                yield path, member


def _versions(archives: Sequence[tuple[StoredArchive, dict[bytes, Member]]]) -> dict[bytes, list[Version]]:
    """The versions of each path in the archives of an entry, which come from the oldest to the newest."""
    found: dict[bytes, list[Version]] = {}
    previous: dict[bytes, Member] = {}
    for archive, members in archives:
        for path, member in members.items():
            versions = found.setdefault(path, [])
            if path in previous and _content(member) == _content(previous[path]):
                last = versions.pop()
                versions.append(last._replace(last=archive, archives=last.archives + 1))
            else:
                versions.append(Version(member, archive, archive, 1))
        previous = members
    return found


def _content(member: Member) -> tuple[object, ...]:
    """What makes a version; a directory is always the same one."""
    if member.type == DIRECTORY:
        return (member.type,)
    return member.type, member.size, member.mtime_ns, member.link
