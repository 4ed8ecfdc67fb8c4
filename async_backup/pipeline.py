"""Producer, bounded queue, workers and verifiers, and their limits."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from anyio import CancelScope, CapacityLimiter, create_memory_object_stream, to_thread

from async_backup.errors import BackupError, RemoteExists, SourceError, SourceMoved
from async_backup.events import (
    AttemptFailed,
    EntryEnded,
    EntryFound,
    EntrySkipped,
    EntryStarted,
    SourceEmpty,
    Stopping,
)
from async_backup.model import Entry, Failed, Interrupted, Outcome, Report
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio import Event
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from async_backup.config import Limits
    from async_backup.events import Listener
    from async_backup.transfer import Transfer, Uploaded

Found = Entry | EntrySkipped | SourceEmpty | SourceError

_SCANNED_AT_ONCE = 64


class Pipeline:
    """Runs all entries through a transfer; every entry that was found gets exactly one outcome."""

    def __init__(self, transfer: Transfer, limits: Limits, listener: Listener, taken: frozenset[bytes]) -> None:
        """`taken` are paths of archives, below the destination, that stand there already."""
        self._transfer = transfer
        self._limits = limits
        self._listener = listener
        self._taken = taken
        self._uploads = CapacityLimiter(limits.workers)
        self._open: dict[bytes, Entry] = {}
        self._outcomes: list[Outcome] = []
        self._source_errors: list[BackupError] = []
        self._is_stopping = False
        self._all_found = False

    async def run(self, found: Iterator[Found], stop: Event, *, verifiers: int, on_stop: Callable[[], None]) -> Report:
        """Back up everything that `found` gives, until it ends or `stop` is set, which calls `on_stop` first."""
        begin = time.monotonic()
        async with task_group() as background:
            with CancelScope() as scope:
                background.start_soon(self._stop_on, stop, scope, on_stop)
                await self._run_stages(found, verifiers)
            background.cancel_scope.cancel()
        if self._is_stopping:
            await self._interrupt_rest(found)
        return Report(
            tuple(self._outcomes),
            tuple(self._source_errors),
            is_interrupted=not self._all_found or any(isinstance(outcome, Interrupted) for outcome in self._outcomes),
            seconds=time.monotonic() - begin,
            leftovers=tuple(self._transfer.leftovers),
        )

    async def _stop_on(self, stop: Event, scope: CancelScope, on_stop: Callable[[], None]) -> None:
        await stop.wait()
        self._is_stopping = True
        self._listener(Stopping())
        on_stop()
        self._transfer.hurry()
        scope.cancel()

    async def _run_stages(self, found: Iterator[Found], verifiers: int) -> None:
        queue, entries = create_memory_object_stream[Entry](self._limits.queue)
        done, uploaded = create_memory_object_stream["Uploaded"](0)
        async with task_group() as tasks:
            tasks.start_soon(self._produce, found, queue)
            with entries, done, uploaded:
                for _ in range(self._limits.workers):
                    tasks.start_soon(self._work, entries.clone(), done.clone())
                for _ in range(verifiers):
                    tasks.start_soon(self._verify, uploaded.clone())

    async def _produce(self, found: Iterator[Found], queue: MemoryObjectSendStream[Entry]) -> None:
        with queue:
            while block := await to_thread.run_sync(lambda: list(islice(found, _SCANNED_AT_ONCE))):
                for entry in self._sorted_out(block):
                    await queue.send(entry)
            self._all_found = True

    def _sorted_out(self, block: list[Found]) -> list[Entry]:
        """Note what was found; the entries among it are open from now on."""
        entries = [item for item in block if isinstance(item, Entry)]
        for item in block:
            if isinstance(item, Entry):
                self._open[item.path] = item
                self._listener(EntryFound(item))
            elif isinstance(item, EntrySkipped | SourceEmpty):
                self._listener(item)
            else:
                self._source_errors.append(item)
        return entries

    async def _interrupt_rest(self, found: Iterator[Found]) -> None:
        """What was under way, waiting or not yet found when the run was stopped."""
        with suppress(ValueError):  # the producer's thread may be in the middle of it
            for item in found:
                self._sorted_out([item])
            self._all_found = True
        for entry in list(self._open.values()):
            self._end(Interrupted(entry))

    async def _work(self, entries: MemoryObjectReceiveStream[Entry], done: MemoryObjectSendStream[Uploaded]) -> None:
        with entries, done:
            async for entry in entries:
                uploaded = await self._upload(entry, 1)
                if uploaded is not None:
                    await self._hand_over(uploaded, done)

    async def _hand_over(self, uploaded: Uploaded, done: MemoryObjectSendStream[Uploaded]) -> None:
        async with self._transfer.discarded_on_error(uploaded.temporary):
            await done.send(uploaded)

    async def _verify(self, uploaded: MemoryObjectReceiveStream[Uploaded]) -> None:
        with uploaded:
            async for archive in uploaded:
                await self._settle(archive)

    async def _settle(self, uploaded: Uploaded) -> None:
        """Verify and commit, or delete and make the archive again."""
        while True:
            try:
                self._end(await self._transfer.commit(uploaded))
                return
            except BackupError as error:
                if not self._may_try_again(uploaded.entry, error, uploaded.attempt):
                    return
            again = await self._upload(uploaded.entry, uploaded.attempt + 1)
            if again is None:
                return
            uploaded = again

    async def _upload(self, entry: Entry, attempt: int) -> Uploaded | None:
        """Upload, as often as is allowed; None once the entry has ended."""
        hard_links = True
        if entry.remote_path in self._taken:
            error = RemoteExists("an archive of this name exists already; nothing is overwritten")
            self._end(Failed(entry, error))
            return None
        while True:
            self._listener(EntryStarted(entry, attempt))
            try:
                async with self._uploads:
                    return await self._transfer.upload(entry, attempt, hard_links=hard_links)
            except BackupError as error:
                if not self._may_try_again(entry, error, attempt):
                    return None
                hard_links = hard_links and not isinstance(error, SourceMoved)
                attempt += 1

    def _may_try_again(self, entry: Entry, error: BackupError, attempt: int) -> bool:
        """Whether another attempt follows; otherwise the entry has failed, or is left to be interrupted."""
        if self._is_stopping:
            return False
        if error.is_transient and attempt <= self._limits.retries:
            self._listener(AttemptFailed(entry, error, attempt))
            return True
        self._end(Failed(entry, error, attempt))
        return False

    def _end(self, outcome: Outcome) -> None:
        del self._open[outcome.entry.path]
        self._outcomes.append(outcome)
        self._listener(EntryEnded(outcome))
