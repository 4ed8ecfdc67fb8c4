"""What is to go: the policy and, above it, what keeps a prune from doing harm."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from async_backup.endings import read_endings
from async_backup.errors import RemoteNotFound
from async_backup.pruning.model import ArchiveJudged, ArchiveUnjudged
from async_backup.retention import decide

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from async_backup.catalog import Catalog, StoredArchive
    from async_backup.endings import Ending
    from async_backup.remote.base import RemoteStore
    from async_backup.retention import KeepRules

NEWEST = "newest"
NEWEST_VERIFIED = "newest verified"
NEWEST_COMPLETE = "newest complete"


def chosen(catalog: Catalog, entries: Sequence[bytes]) -> Catalog:
    """The archives of some entries, or all where none is named.

    Raises RemoteNotFound for an entry without any, and for what is an archive that belongs to no entry.
    """
    found = catalog.of_entries(entries)
    judged = found.entries()
    for archive in found.archives if entries else ():
        if archive.entry not in judged:
            raise RemoteNotFound(
                f"{os.fsdecode(archive.entry)} is an archive whose name tells no time, so that no rule applies to it; "
                "was it made with another --timestamp-format?"
            )
    return found


def unjudged(catalog: Catalog) -> tuple[ArchiveUnjudged, ...]:
    """The archives whose names tell no time."""
    return tuple(ArchiveUnjudged(archive.path, archive.size) for archive in catalog.archives if archive.when is None)


async def plan_archives(store: RemoteStore, catalog: Catalog, rules: KeepRules, now: datetime) -> list[ArchiveJudged]:
    """Judge all archives whose names tell entry and time; raises RemoteError."""
    entries = catalog.entries()
    archives = [archive for found in entries.values() for archive in found]
    endings = await read_endings(store, archives)
    by_path = {archive.path: ending for archive, ending in zip(archives, endings, strict=True)}
    return [judged for found in entries.values() for judged in judge(found, by_path, rules, now)]


def judge(
    archives: Sequence[StoredArchive], endings: Mapping[bytes, Ending], rules: KeepRules, now: datetime
) -> Iterator[ArchiveJudged]:
    """What is to become of the archives of one entry, from the oldest to the newest.

    One with a problem (by path) stays and counts for no rule: it is not known to be a whole archive of ours. Of the
    others the newest verified one stays, or where none is verified the newest, whatever the rules say; and if that
    is one that lacks something, so does the newest that lacks nothing, a verified one before others.
    """
    ours = [archive for archive in archives if not endings[archive.path].problem]
    times = [archive.when for archive in ours if archive.when is not None]
    reasons = {archive.path: found for archive, found in zip(ours, decide(times, rules, now=now), strict=True)}
    past = [archive for archive in ours if archive.when is not None and archive.when <= now]
    verified = [archive for archive in past if archive.checksums]
    whole = [archive for archive in past if not endings[archive.path].is_incomplete]
    complete = [archive for archive in whole if archive.checksums] or whole
    for found, reason in ((verified or past, NEWEST_VERIFIED if verified else NEWEST), (complete, NEWEST_COMPLETE)):
        for newest in found[-1:]:
            reasons[newest.path] = reasons[newest.path] or (reason,)
    for archive in archives:
        yield _judged(archive, reasons.get(archive.path, ()), endings[archive.path])


def _judged(archive: StoredArchive, reasons: tuple[str, ...], ending: Ending) -> ArchiveJudged:
    if archive.when is None:
        raise ValueError("an archive whose name tells no time cannot be judged")
    return ArchiveJudged(
        archive.path,
        archive.entry,
        archive.when,
        archive.size,
        stays=bool(reasons or ending.problem),
        reasons=reasons,
        problem=ending.problem,
        is_unreadable=ending.is_unreadable,
        checksums=archive.checksums,
    )
