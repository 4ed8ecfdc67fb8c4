"""The members of one segment become files; which ones, and under which names, was chosen from the index."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.check import is_as_told
from async_backup.archive.tar import Buffer, DamagedTar, TarReader
from async_backup.archive.unpack import DamagedSegment

if TYPE_CHECKING:
    from async_backup.archive.index import Segment
    from async_backup.archive.tar import TarMember
    from async_backup.unpack.members import Late, OpenFile, Unpacker
    from async_backup.unpack.rules import Issue


@dataclass(frozen=True, slots=True)
class Wanted:
    """Members of a segment by the offsets of their headers: what to restore, and what to call differently.

    A file of which only a later hard link is wanted is restored in that link's place: `paths` tells where, and
    `targets` where further links to it have to point.
    """

    offsets: frozenset[int]
    paths: dict[int, bytes] = field(default_factory=dict)
    targets: dict[int, bytes] = field(default_factory=dict)

    def applied(self, member: TarMember) -> TarMember | None:
        """The member as it is to be restored; None where it is not."""
        if member.offset not in self.offsets:
            return None
        path, target = self.paths.get(member.offset), self.targets.get(member.offset)
        if path is not None:
            member = member._replace(path=path)
        return member if target is None else member._replace(link=target)


class Unpacked(NamedTuple):
    """What became of a segment: members restored and their bytes, what needs a word, what waits, what goes on.

    `no_room` says why nothing more can be written.
    """

    files: int
    size: int
    issues: list[Issue]
    late: list[Late]
    opened: OpenFile | None
    no_room: str = ""


def unpack_members(unpacker: Unpacker, raw: bytes, wanted: Wanted | None) -> Unpacked:
    """Restore the members of a segment; all of them without `wanted`. Raises DamagedSegment where it is no tar."""
    reader = TarReader(Buffer(raw))
    opened, no_room = None, ""
    try:
        while (found := reader.next()) is not None:
            member = found if wanted is None else wanted.applied(found)
            if member is None:
                continue
            if member.size and reader.offset == len(raw):
                opened = unpacker.begin_file(member)
            else:
                unpacker.put(member, reader.take(found) if found.size else b"")
    except DamagedTar as error:
        raise DamagedSegment(f"it is not a tar stream: {error}") from error
    except OSError as error:
        no_room = error.strerror or str(error)
    return unpacked_by(unpacker, opened, no_room)


def salvage_members(
    unpacker: Unpacker, raw: bytes, segment: Segment, wanted: Wanted | None
) -> tuple[Unpacked, frozenset[int]]:
    """Restore what is left, in `raw`, of the members of a damaged segment; and the offsets of those that are there.

    Nothing vouches for what they hold; their names and metadata have to be those of the index. A member whose payload
    is not all there is lost.
    """
    told = {record.offset: record for record in segment.known()}
    reader = TarReader(Buffer(raw))
    opened, no_room, kept = None, "", set()
    try:
        while (member := reader.next()) is not None:
            is_large = bool(member.size) and reader.offset == segment.raw_length
            data = reader.take(member) if member.size and not is_large else b""
            record = told.get(member.offset)
            found = wanted.applied(member) if wanted else member
            if found is None or record is None or not is_as_told(member, record):
                continue
            if is_large:
                opened = unpacker.begin_file(found)
            if opened or (not is_large and unpacker.put(found, data)):
                kept.add(member.offset)
    except DamagedTar:
        pass
    except OSError as error:
        no_room = error.strerror or str(error)
    return unpacked_by(unpacker, opened, no_room), frozenset(kept)


def unpacked_by(unpacker: Unpacker, opened: OpenFile | None = None, no_room: str = "") -> Unpacked:
    """What the unpacker has done since it was asked last."""
    files, size = unpacker.take_counts()
    return Unpacked(files, size, unpacker.take_issues(), unpacker.take_late(), opened, no_room)
