"""What was found in archives: by entry and path, the newest version first."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from async_backup.archive.member import DIRECTORY, REGULAR
from async_backup.text import counted, shown, size
from async_backup.ui.listing import member_fields, when_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.listing.finding import Finding, Found, Version


def finding_lines(finding: Finding) -> Iterator[str]:
    """An entry, its paths, and under each its versions."""
    for entry, paths in groupby(finding.found, key=lambda found: found.entry):
        yield shown(entry)
        for found in paths:
            yield f"  {shown(found.path)}{'/' if found.versions[-1].member.type == DIRECTORY else ''}"
            yield from (f"    {_version(version)}" for version in reversed(found.versions))
    yield _total(finding)


def _version(version: Version) -> str:
    member = version.member
    if member.type == DIRECTORY:
        return _where(version)
    if member.type != REGULAR:
        kind = member_fields(member)["type"]
        return f"{kind:>10}{f' -> {shown(member.link)}' if member.link else ''}  {_where(version)}"
    modified = datetime.fromtimestamp(member.mtime_ns // 1_000_000_000)
    return f"{size(member.size):>10}  modified {modified:%Y-%m-%d %H:%M:%S}  {_where(version)}"


def _where(version: Version) -> str:
    last = when_of(version.last)
    if version.archives == 1:
        return f"in {last}"
    return f"in {last} and {version.archives - 1} before, since {when_of(version.first)}"


def _total(finding: Finding) -> str:
    looked = counted(finding.archives - len(finding.unread), "archive")
    if not finding.found:
        return f"nothing that matches in {looked}"
    return f"{counted(len(finding.found), 'path')} in {looked}; restore ENTRY@TIME PATH brings one back"


def version_fields(found: Found, version: Version) -> dict[str, object]:
    """What JSON tells of a version."""
    return {
        "entry": found.entry,
        **member_fields(version.member),
        "first": version.first.path,
        "last": version.last.path,
        "archives": version.archives,
    }
