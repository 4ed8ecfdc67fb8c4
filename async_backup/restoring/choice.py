"""Which segments hold what was asked for, told by the index alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.index import PIECE
from async_backup.archive.member import DIRECTORY, HARD_LINK
from async_backup.errors import DamagedArchive
from async_backup.index_paths import full_path, is_at_or_below, not_in_archive
from async_backup.unpack.segment import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from async_backup.archive.index import Member, Segment
    from async_backup.restoring.wish import Wish


class Job(NamedTuple):
    """A segment to fetch: a piece of a large file's payload, or members, of which all count without `wanted`."""

    segment: Segment
    piece: Member | None = None
    wanted: Wanted | None = None


@dataclass(slots=True)
class _Found:
    """What is wanted of one segment."""

    offsets: set[int] = field(default_factory=set)
    paths: dict[int, bytes] = field(default_factory=dict)
    targets: dict[int, bytes] = field(default_factory=dict)

    def wanted(self) -> Wanted:
        return Wanted(frozenset(self.offsets), self.paths, self.targets)


class _Link(NamedTuple):
    """A hard link that is wanted, by where it stands."""

    segment: int
    member: Member


def choose(name: str, segments: Sequence[Segment], wish: Wish) -> list[Job]:
    """The segments to fetch for what is wanted of the archive called `name`.

    Raises NotInArchive for a path that is not there, with the nearest ones, or where no pattern matches anything;
    DamagedArchive.
    """
    try:
        if not wish.paths and not wish.has_patterns:
            return [_whole(segment) for segment in segments]
        return _Chooser(name, segments, wish).jobs()
    except ValueError as error:
        raise DamagedArchive(f"{name}: {error}") from error


def _whole(segment: Segment) -> Job:
    return Job(segment, next(segment.listing(), None) if segment.is_piece else None)


def wanted_members(jobs: Iterable[Job]) -> Iterator[Member]:
    """The members that will be restored, under their names here; hard links among them."""
    for job in jobs:
        if job.piece is None:
            for member in job.segment.listing():
                if job.wanted is None:
                    yield member
                elif member.offset in job.wanted.offsets:
                    path = job.wanted.paths.get(member.offset, member.path)
                    yield member._replace(path=path, link=job.wanted.targets.get(member.offset, member.link))


class _Chooser:
    """Finds in an index what is wanted."""

    def __init__(self, name: str, segments: Sequence[Segment], wish: Wish) -> None:
        self._name = name
        self._segments = segments
        self._wish = wish
        self._paths = [full_path(path, segments) for path in wish.paths]
        self._missing = dict.fromkeys(self._paths)
        self._found: dict[int, _Found] = {}
        self._pieces: dict[int, Member] = {}
        self._links: list[_Link] = []
        self._present: set[bytes] = set()

    def jobs(self) -> list[Job]:
        for number, member in self._members():
            if self._is_named(member.path) and self._is_picked(member):
                self._add(number, member)
        for path in self._missing:
            raise not_in_archive(path, self._name, self._segments)
        if not self._found:
            raise self._wish.leaves_nothing(self._name)
        self._find_targets()
        numbers = sorted(self._found.keys() | self._pieces.keys())
        return [self._job(number) for number in numbers]

    def _members(self) -> Iterator[tuple[int, Member]]:
        for number, segment in enumerate(self._segments):
            for member in segment.listing():
                yield number, member

    def _is_named(self, path: bytes) -> bool:
        """Whether it is at one of the wanted paths or below, all of which are not missing then."""
        named = [wanted for wanted in self._paths if is_at_or_below(path, wanted)]
        for wanted in named:
            self._missing.pop(wanted, None)
        return bool(named) or not self._paths

    def _is_picked(self, member: Member) -> bool:
        entry = member.path.partition(b"/")[0]
        return self._wish.picks(member.path, entry, is_directory=member.type == DIRECTORY)

    def _add(self, number: int, member: Member) -> None:
        if member.type == PIECE:
            self._pieces[number] = member
            return
        self._found.setdefault(number, _Found()).offsets.add(member.offset)
        self._present.add(member.path)
        if member.type == HARD_LINK:
            self._links.append(_Link(number, member))

    def _find_targets(self) -> None:
        """A link to a file that is not wanted itself: the file is restored in the place of its first link."""
        first: dict[bytes, bytes] = {}
        for number, member in self._links:
            if member.link in self._present:
                continue
            found = self._found[number]
            if member.link in first:
                found.targets[member.offset] = first[member.link]
            else:
                first[member.link] = member.path
                found.offsets.discard(member.offset)
        there = set()
        for number, member in self._members() if first else ():
            if member.path not in first:
                continue
            if member.type == PIECE:
                self._pieces[number] = member._replace(path=first[member.path])
            else:
                found = self._found.setdefault(number, _Found())
                found.offsets.add(member.offset)
                found.paths[member.offset] = first[member.path]
                there.add(member.path)
        for number, member in self._links:
            if member.link in first.keys() - there:
                self._found[number].offsets.add(member.offset)  # to be told of as a link to nothing

    def _job(self, number: int) -> Job:
        segment = self._segments[number]
        piece = self._pieces.get(number)
        return Job(segment, piece, None if piece else self._found[number].wanted())
