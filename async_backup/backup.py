"""The public call: open store and workers, run the pipeline, tear down."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from anyio import Event, move_on_after

from async_backup.archive_names import SUFFIX
from async_backup.errors import RemoteError
from async_backup.events import Connected, LeftoverRemoved, RunEnded, RunStarted, ignore
from async_backup.heap import keep_freed_memory
from async_backup.model import Report
from async_backup.pipeline import Pipeline
from async_backup.remote.discarding import CLEANUP_GRACE
from async_backup.remote.naming import RunId
from async_backup.remote.places import path_in
from async_backup.remote.store import open_store
from async_backup.scan import resolve_sources, scan_all
from async_backup.tasks import task_group
from async_backup.transfer import Transfer
from async_backup.worker_process import PackingRules
from async_backup.workers import open_workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from anyio import CancelScope

    from async_backup.config import Settings
    from async_backup.events import Listener
    from async_backup.remote.store import SftpStore
    from async_backup.scan import Source
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
    listener(RunStarted(str(run), started, (str(settings.destination),)))
    async with _opened(settings, run) as (store, workers):
        listener(Connected(store.host, store.directory, store.verification, store.verification_reason))
        taken = await _prepare_directories(store, sources, timestamp, run, listener)
        transfer = Transfer(
            store,
            workers,
            listener,
            base=store.directory,
            run=run,
            algorithm=settings.hash,
            checksum_file=settings.checksum_file,
            changed=settings.changed,
        )
        found = scan_all(sources, timestamp, settings.selection, settings.only)
        pipeline = Pipeline(transfer, settings.limits, listener, taken)
        is_running.set()
        report = await pipeline.run(found, stop, verifiers=settings.limits.verifications, on_stop=workers.abort)
        with move_on_after(CLEANUP_GRACE):
            for source in sources:
                await store.sync_directory(path_in(store, source.directory))
        return report


@asynccontextmanager
async def _opened(settings: Settings, run: RunId) -> AsyncIterator[tuple[SftpStore, Workers]]:
    """Store and workers; the processes start while the connection is made."""
    limits = settings.limits
    rules = PackingRules(limits.segment_size, settings.level, settings.selection, settings.hash, settings.xattrs)
    async with open_workers(limits.processes, limits.slots, rules) as workers:
        store = open_store(
            settings.destination, settings.ssh, limits, algorithm=settings.hash, verify=settings.verify, run=run
        )
        async with task_group() as tasks:
            tasks.start_soon(workers.start)
            async with store as opened:
                yield opened, workers


async def _prepare_directories(
    store: SftpStore, sources: Sequence[Source], timestamp: str, run: RunId, listener: Listener
) -> frozenset[bytes]:
    """Make the sources' directories and remove what dead runs left there; returns archives that stand in our way."""
    taken = set()
    for source in sources:
        path = path_in(store, source.directory)
        await store.make_directory(path)
        prefix = source.directory + b"/" if source.directory else b""
        ending = b"-" + os.fsencode(timestamp) + SUFFIX
        for entry in await store.entries(path):
            if entry.name.endswith(ending):
                taken.add(prefix + entry.name)
            elif run.is_left_over(entry.name, time.time() - entry.mtime):
                await _remove_leftover(store, b"%b/%b" % (path.rstrip(b"/"), entry.name), listener)
    return frozenset(taken)


async def _remove_leftover(store: SftpStore, path: bytes, listener: Listener) -> None:
    try:
        await store.remove(path)
    except RemoteError:
        return  # another account's, perhaps; it harms nobody
    listener(LeftoverRemoved(path))
