"""The public call: open store and workers, run the pipeline, tear down."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from anyio import Event

from async_backup.destinations import open_destinations
from async_backup.events import RunEnded, RunStarted, ignore
from async_backup.heap import keep_freed_memory
from async_backup.linking import LinkingUploader
from async_backup.model import Report
from async_backup.pipeline import Pipeline
from async_backup.remote.naming import RunId
from async_backup.scan import resolve_sources, scan_all
from async_backup.tasks import task_group
from async_backup.upload import Uploader
from async_backup.workers import open_workers, packing_rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio import CancelScope

    from async_backup.config import Settings
    from async_backup.events import Listener
    from async_backup.workers import Workers


async def backup(settings: Settings, listener: Listener = ignore, *, stop: Event | None = None) -> Report:
    """Back up every entry of the sources; returns what became of each.

    Setting `stop` ends the run early, within seconds: what is under way is removed from the server, and the
    report says what was and was not committed. Raises BackupError where nothing could be done at all. Starts
    processes with multiprocessing's "forkserver": a script that calls this needs an `if __name__ == "__main__":`.
    """
    keep_freed_memory()
    stop = stop or Event()
    report = Report(is_interrupted=True)
    async with task_group() as tasks:
        is_running = Event()
        tasks.start_soon(_give_up_opening, stop, is_running, tasks.cancel_scope)
        report = await _backup(settings, listener, stop, is_running)
        tasks.cancel_scope.cancel()
    listener(RunEnded(report))
    return report


async def _give_up_opening(stop: Event, is_running: Event, opening: CancelScope) -> None:
    """Before anything is under way, being asked to stop means to stop at once."""
    await stop.wait()
    if not is_running.is_set():
        opening.cancel()


async def _backup(settings: Settings, listener: Listener, stop: Event, is_running: Event) -> Report:
    sources = resolve_sources(settings.sources, settings.only)
    started = datetime.now().astimezone()
    timestamp = settings.timestamp(started)
    run = RunId.of_this_process()
    listener(RunStarted(str(run), started, tuple(map(str, settings.destinations))))
    async with (
        _started_workers(settings) as workers,
        open_destinations(settings, sources, timestamp, run, listener) as opened,
    ):
        uploader = _uploader(settings, workers, listener)
        pipeline = Pipeline(uploader, opened.transfers, settings.limits, listener, lost=opened.lost)
        found = scan_all(sources, timestamp, settings.selection, settings.only)
        is_running.set()
        return await pipeline.run(found, stop, verifiers=settings.limits.verifications, on_stop=workers.abort)


def _uploader(settings: Settings, workers: Workers, listener: Listener) -> Uploader | LinkingUploader:
    algorithm, xattrs = settings.hash, settings.xattrs
    uploader = Uploader(workers, listener, algorithm=algorithm, changed=settings.changed, xattrs=xattrs)
    if not settings.link_unchanged:
        return uploader
    return LinkingUploader(uploader, workers, algorithm=algorithm, xattrs=xattrs)


@asynccontextmanager
async def _started_workers(settings: Settings) -> AsyncIterator[Workers]:
    """Workers; their processes start while connections are made."""
    limits = settings.limits
    opened = open_workers(limits.processes, limits.slots, packing_rules(settings))
    async with opened as workers, task_group() as tasks:
        tasks.start_soon(workers.start)
        yield workers
