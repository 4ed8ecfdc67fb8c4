"""What is in a destination, as a table by entry, and what is in an archive, a line a member as `ls -l` has it."""

from __future__ import annotations

import stat
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from async_backup.archive.index import CHANGED
from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY, FIFO, HARD_LINK, REGULAR, SYMLINK
from async_backup.text import counted, duration, shown, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from async_backup.archive.index import Footer, Member
    from async_backup.catalog import StoredArchive
    from async_backup.listing.archives import ListedArchive, Listing

_TYPES = {
    REGULAR: ("file", stat.S_IFREG),
    HARD_LINK: ("hard-link", stat.S_IFREG),
    SYMLINK: ("symlink", stat.S_IFLNK),
    CHARACTER: ("character-device", stat.S_IFCHR),
    BLOCK: ("block-device", stat.S_IFBLK),
    DIRECTORY: ("directory", stat.S_IFDIR),
    FIFO: ("fifo", stat.S_IFIFO),
}
_UNKNOWN = ("unknown", 0)
_IN_DAYS = 2 * 86_400
"""Seconds from which on an age is told in days."""
_OTHER_TIME = "* its name tells no time: when it was last written to, by the server's clock"


def listing_lines(listing: Listing, destination: str, *, is_detailed: bool = False) -> Iterator[str]:
    """The lines of a table, at most 80 columns wide but for long names; in detail with names and checksums."""
    if not listing.archives:
        yield f"no archives in {shown(destination)}"
    else:
        yield f"  {'TIME':20}{'SIZE':>10}{'UNPACKED':>12}{'MEMBERS':>10}  CHECKSUM"
        for entry, archives in groupby(listing.archives, key=lambda listed: listed.archive.entry):
            yield shown(entry)
            for listed in archives:
                yield from _archive_lines(listed, is_detailed=is_detailed)
        yield from _total_lines(listing.archives)
    if listing.temporary:
        files = counted(len(listing.temporary), "unfinished file")
        yield f"{files} of runs under way or interrupted{'' if is_detailed else ' (-v names them)'}"
        yield from (f"  {shown(path)}" for path in listing.temporary if is_detailed)


def _archive_lines(listed: ListedArchive, *, is_detailed: bool) -> Iterator[str]:
    archive, footer = listed.archive, listed.footer
    unpacked, members = (size(footer.raw_length), str(footer.members)) if footer else ("-", "-")
    notes = [", ".join(archive.checksums) or "none", *_notes(footer)]
    yield f"  {when_of(archive):20}{size(archive.size):>10}{unpacked:>12}{members:>10}  {', '.join(notes)}"
    if is_detailed:
        yield f"    {shown(archive.path)}"
        yield from (f"    {name} {value or '(not as we write it)'}" for name, value in listed.checksums.items())
        if listed.problem:
            yield f"    no index: {shown(listed.problem)}"


def when_of(archive: StoredArchive) -> str:
    """The time in its name; with a star the one of its last write, where its name tells none."""
    when = archive.when or datetime.fromtimestamp(archive.mtime)
    return f"{when:%Y-%m-%d %H:%M:%S}{'' if archive.when else '*'}"


def _notes(footer: Footer | None) -> list[str]:
    if footer is None:
        return ["no index"]
    return ["incomplete"] if footer.is_incomplete else []


def _total_lines(archives: Sequence[ListedArchive]) -> Iterator[str]:
    if any(listed.archive.when is None for listed in archives):
        yield _OTHER_TIME
    entries = counted(len({listed.archive.entry for listed in archives}), "entry", "entries")
    unrecorded = sum(not listed.archive.checksums for listed in archives)
    unknown = sum(listed.footer is None for listed in archives)
    total = size(sum(listed.archive.size for listed in archives))
    more = [f"{unrecorded} without a checksum"] if unrecorded else []
    more += [f"{unknown} without an index"] if unknown else []
    lacking = sum(listed.footer is not None and listed.footer.is_incomplete for listed in archives)
    more += [f"{lacking} incomplete: something changed or could not be read when they were made"] if lacking else []
    yield ", ".join([f"{counted(len(archives), 'archive')} of {entries}: {total}", *more])


def outdated_lines(
    outdated: Mapping[bytes, StoredArchive | None], future: Iterable[StoredArchive], now: datetime
) -> Iterator[str]:
    """A line for each entry that has no archive that is new enough, where those of the `future` do not count."""
    others = {archive.entry for archive in future}
    for entry, archive in outdated.items():
        if archive is None or archive.when is None:
            other = "other " if entry in others else ""
            yield f"too old: {shown(entry)}: it has no {other}archive that is known to be whole"
        else:
            ago = _age((now - archive.when).total_seconds())
            yield f"too old: {shown(entry)}: its newest whole archive is of {when_of(archive)}, {ago} ago"


def future_lines(archives: Iterable[StoredArchive], now: datetime) -> Iterator[str]:
    """A line for each archive that is of a time that has not come yet."""
    for archive in archives:
        ahead = _age((archive.when - now).total_seconds()) if archive.when else ""
        yield f"of the future, so that it does not count: {shown(archive.path)} ({ahead} ahead)"


def _age(seconds: float) -> str:
    return duration(seconds) if seconds < _IN_DAYS else counted(int(seconds // 86_400), "day")


def listed_fields(listed: ListedArchive) -> dict[str, object]:
    """What JSON tells of an archive."""
    archive, footer = listed.archive, listed.footer
    return {
        "path": archive.path,
        "entry": archive.entry,
        "when": archive.when.isoformat() if archive.when else None,
        "size": archive.size,
        "mtime": archive.mtime,
        "members": footer.members if footer else None,
        "raw_size": footer.raw_length if footer else None,
        "has_index": footer is not None,
        "is_incomplete": footer.is_incomplete if footer else None,
        "problem": listed.problem or None,
        "checksums": listed.checksums,
    }


class MemberLines:
    """Writes members as `tar -tv` does: the columns of owner and size grow with what comes."""

    def __init__(self) -> None:
        self._width = 19

    def __call__(self, member: Member) -> str:
        owner, count = f"{member.uid}/{member.gid}", str(member.size)
        self._width = max(self._width, len(owner) + 1 + len(count))
        when = datetime.fromtimestamp(member.mtime_ns // 1_000_000_000)
        mode = stat.filemode(_TYPES.get(member.type, _UNKNOWN)[1] | (member.mode & 0o7777))
        changed = "  (changed while it was read)" if member.flags & CHANGED else ""
        count = count.rjust(self._width - len(owner) - 1)
        return f"{mode} {owner} {count} {when:%Y-%m-%d %H:%M:%S} {shown(member.path)}{_target(member)}{changed}"


def _target(member: Member) -> str:
    if member.type == SYMLINK:
        return f" -> {shown(member.link)}"
    return f" link to {shown(member.link)}" if member.type == HARD_LINK else ""


def member_fields(member: Member) -> dict[str, object]:
    """What JSON tells of a member."""
    return {
        "path": member.path,
        "type": _TYPES.get(member.type, _UNKNOWN)[0],
        "mode": f"{member.mode & 0o7777:04o}",
        "uid": member.uid,
        "gid": member.gid,
        "size": member.size,
        "mtime_ns": member.mtime_ns,
        "link": member.link or None,
        "changed": bool(member.flags & CHANGED),
    }
