"""Which archives hold a file, and which versions of it: told by their indexes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from anyio import Lock, to_thread

from async_backup.archive.member import DIRECTORY, HARD_LINK
from async_backup.archive.selection import Selection
from async_backup.archived import read_archive
from async_backup.catalog import groups_of, read_catalog
from async_backup.errors import SERVER_GONE, DamagedArchive, RemoteError
from async_backup.index_paths import inside_entry
from async_backup.listing.contents import Contents
from async_backup.remote.places import open_listed
from async_backup.tasks import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backup.archive.index import Member
    from async_backup.archive_names import NameParser
    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteStore


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

    What is below a directory matches by itself, or not. Raises RemoteNotFound for an entry without any archive,
    ValueError for a pattern that is none, RemoteError where the server is gone.
    """
    archives = (await read_catalog(store, names)).of_entries(entries).archives
    search, history = _Search(store, Selection(tuple(patterns))), _History()
    unread: list[tuple[StoredArchive, str]] = []
    for some in groups_of(archives):
        results = await side_by_side(search.members_in, some, at_once=len(some))
        for archive, result in zip(some, results, strict=True):
            if isinstance(result, str):
                unread.append((archive, result))
            else:
                history.add(archive, result)
    return Finding(history.found(), len(archives), tuple(unread))


class _Search:
    """Looks into archives."""

    def __init__(self, store: RemoteStore, wanted: Selection) -> None:
        self._store = store
        self._wanted = wanted
        self._turn = Lock()
        self._known: dict[tuple[object, ...], tuple[bytes, Member]] = {}
        """Paths and members by what makes them: what archives have in common is in memory once."""

    async def members_in(self, archive: StoredArchive) -> dict[bytes, Member] | str:
        """The members that match, by their paths inside the entry; why it cannot be told, otherwise."""
        try:
            async with open_listed(self._store, archive.path, archive.size) as reader:
                contents = Contents(await read_archive(reader, archive.path))
            async with self._turn:
                return await to_thread.run_sync(lambda: self._found_in(contents), abandon_on_cancel=True)
        except SERVER_GONE:
            raise
        except (DamagedArchive, RemoteError) as error:
            return str(error.__cause__ or error)

    def _found_in(self, contents: Contents) -> dict[bytes, Member]:
        found = dict(self._matching(contents))
        links = {path: member.link for path, member in found.items() if member.type == HARD_LINK}
        if links:
            targets = set(links.values())
            files = {member.path: member for member in contents.members() if member.path in targets}
            found |= {
                path: files[target]._replace(path=found[path].path) for path, target in links.items() if target in files
            }
        return dict(
            self._known.setdefault((member.path, *_content(member)), (path, member)) for path, member in found.items()
        )

    def _matching(self, contents: Contents) -> Iterator[tuple[bytes, Member]]:
        for member in contents.members():
            path, is_directory = inside_entry(member.path), member.type == DIRECTORY
            is_top = is_directory and b"/" not in member.path
            if not is_top and self._wanted.excludes(path, is_directory=is_directory):
                yield path, member


class _History:
    """The versions of each path in archives that come by entry, and within each from the oldest to the newest."""

    def __init__(self) -> None:
        self._found: dict[tuple[bytes, bytes], list[Version]] = {}
        self._previous: dict[bytes, Member] = {}
        self._entry: bytes | None = None

    def add(self, archive: StoredArchive, members: dict[bytes, Member]) -> None:
        """Note what the next archive holds."""
        previous = self._previous if archive.entry == self._entry else {}
        for path, member in members.items():
            versions = self._found.setdefault((archive.entry, path), [])
            if path in previous and _content(member) == _content(previous[path]):
                last = versions.pop()
                versions.append(last._replace(last=archive, archives=last.archives + 1))
            else:
                versions.append(Version(member, archive, archive, 1))
        self._previous, self._entry = members, archive.entry

    def found(self) -> tuple[Found, ...]:
        """All of it, by entry and path."""
        return tuple(Found(*key, tuple(versions)) for key, versions in sorted(self._found.items()))


def _content(member: Member) -> tuple[object, ...]:
    """What makes a version; a directory is always the same one."""
    if member.type == DIRECTORY:
        return (member.type,)
    return member.type, member.size, member.mtime_ns, member.link
