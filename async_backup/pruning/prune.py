"""The public call that removes old archives: list, decide, remove."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from anyio import Event

from async_backup.archive_names import NameParser
from async_backup.catalog import catalog_of, read_directories
from async_backup.events import ignore
from async_backup.pruning.model import OrphanFound, PruneEnded, PrunePlan, PruneReport
from async_backup.pruning.orphans import find_orphans
from async_backup.pruning.plan import chosen, plan_archives, unjudged
from async_backup.pruning.removal import Removal
from async_backup.stopping import unless_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.pruning.model import ArchiveJudged, ArchiveUnjudged, PruneListener, PruneSettings
    from async_backup.remote.base import RemoteStore


async def prune(
    store: RemoteStore,
    settings: PruneSettings,
    listener: PruneListener = ignore,
    *,
    stop: Event | None = None,
    now: datetime | None = None,
) -> PruneReport:
    """Remove what no rule keeps; returns what became of it.

    `now` is naive, in local time like the times in archives' names. Setting `stop` ends it after the removals that
    are under way. Raises RemoteNotFound for an entry without any archive, other RemoteErrors where nothing could be
    decided.
    """
    stop = stop or Event()
    plan = await unless_stopped(stop, lambda: make_plan(store, settings, now or datetime.now()))
    if plan is None:
        report = PruneReport(dry_run=settings.dry_run, is_interrupted=True)
    else:
        for event in _told(plan):
            listener(event)
        removal = Removal(store, listener, stop)
        if not settings.dry_run:
            await removal.run(plan)
        report = removal.report(plan, is_dry=settings.dry_run)
    listener(PruneEnded(report))
    return report


async def make_plan(store: RemoteStore, settings: PruneSettings, now: datetime) -> PrunePlan:
    """What is to go and what stays; removes nothing. Raises as `prune` does."""
    names = NameParser(settings.timestamp_formats)
    directories = await read_directories(store)
    catalog = chosen(catalog_of(directories, names), settings.entries)
    judged = await plan_archives(store, catalog, settings.rules, now)
    orphans = await find_orphans(store, directories, names, settings.entries)
    return PrunePlan(tuple(judged), unjudged(catalog), orphans)


def _told(plan: PrunePlan) -> Iterator[ArchiveJudged | ArchiveUnjudged | OrphanFound]:
    yield from plan.judged
    yield from plan.unjudged
    yield from (OrphanFound(orphan.path) for orphan in plan.orphans)
