"""Producer, bounded queue, workers and verifiers, and their limits."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from anyio import CancelScope, Semaphore, create_memory_object_stream, current_time, to_thread

from async_backup.errors import NO_SERVER, BackupError, RemoteExists, SourceError, SourceMoved
from async_backup.events import (
    AttemptFailed,
    DestinationLost,
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
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence

    from anyio import Event
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from async_backup.config import Limits
    from async_backup.events import Listener
    from async_backup.linking import LinkingUploader
    from async_backup.transfer import Transfer, Uploaded
    from async_backup.upload import Uploader

Found = Entry | EntrySkipped | SourceEmpty | SourceError

_SCANNED_AT_ONCE = 64


REST = 60.0
"""Seconds for which a destination that cannot be reached is left alone, where there are others."""


class Lane:
    """One destination in a run: how archives get there, and whether it is worth trying."""

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer
        self.name = transfer.destination
        self._unreachable: BackupError | None = None
        self._rests_until = 0.0

    def reason_not_to_begin(self, entry: Entry) -> BackupError | None:
        """Why there is no use in sending an entry there now."""
        if entry.remote_path in self.transfer.taken:
            return RemoteExists("an archive of this name exists already; nothing is overwritten")
        return self._unreachable if current_time() < self._rests_until else None

    def rest(self, error: BackupError) -> None:
        """Leave the destination alone for a while."""
        self._unreachable = error
        self._rests_until = current_time() + REST


class Pipeline:
    """Runs all entries through an uploader; every entry gets exactly one outcome at each destination."""

    def __init__(
        self,
        uploader: Uploader | LinkingUploader,
        transfers: Sequence[Transfer],
        limits: Limits,
        listener: Listener,
        *,
        lost: Mapping[str, BackupError] = MappingProxyType({}),
    ) -> None:
        """`lost` are destinations at which nothing can be done, by their names, and why."""
        self._uploader = uploader
        self._lanes = [Lane(transfer) for transfer in transfers]
        self._lost = lost
        self._limits = limits
        self._listener = listener
        self._places = Semaphore(limits.workers, fast_acquire=True)
        self._open: dict[tuple[bytes, str], Entry] = {}
        self._sent_anew: set[tuple[bytes, str]] = set()
        """Entries whose first attempt was to use what was at a destination already; it does not count."""
        self._outcomes: list[Outcome] = []
        self._source_errors: list[BackupError] = []
        self._empty: list[bytes] = []
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
            leftovers=tuple(name for lane in self._lanes for name in lane.transfer.leftovers),
            destinations=(*(lane.name for lane in self._lanes), *self._lost),
            empty_sources=tuple(self._empty),
        )

    async def _stop_on(self, stop: Event, scope: CancelScope, on_stop: Callable[[], None]) -> None:
        await stop.wait()
        self._is_stopping = True
        self._listener(Stopping())
        on_stop()
        for lane in self._lanes:
            lane.transfer.hurry()
        scope.cancel()

    async def _run_stages(self, found: Iterator[Found], verifiers: int) -> None:
        queue, entries = create_memory_object_stream[Entry](self._limits.queue)
        async with task_group() as tasks, AsyncExitStack() as streams:
            tasks.start_soon(self._produce, found, queue)
            done: dict[Lane, MemoryObjectSendStream[Uploaded]] = {}
            for lane in self._lanes:
                done[lane], uploaded = create_memory_object_stream["Uploaded"](0)
                streams.enter_context(done[lane])
                with uploaded:
                    for _ in range(verifiers):
                        tasks.start_soon(self._verify, lane, uploaded.clone())
            with entries:
                for _ in range(self._limits.workers + self._limits.small_archives):
                    tasks.start_soon(self._work, entries.clone(), {lane: send.clone() for lane, send in done.items()})

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
                self._begin(item)
            elif isinstance(item, EntrySkipped | SourceEmpty):
                self._listener(item)
                self._empty += [item.path] if isinstance(item, SourceEmpty) and not item.skipped else []
            else:
                self._source_errors.append(item)
        return entries

    async def _interrupt_rest(self, found: Iterator[Found]) -> None:
        """What was under way, waiting or not yet found when the run was stopped."""
        with suppress(ValueError):  # the producer's thread may be in the middle of it
            for item in found:
                self._sorted_out([item])
            self._all_found = True
        for entry, name in [(entry, name) for (_, name), entry in self._open.items()]:
            self._end(Interrupted(entry, name))

    def _begin(self, entry: Entry) -> None:
        self._listener(EntryFound(entry))
        for name in (*(lane.name for lane in self._lanes), *self._lost):
            self._open[entry.path, name] = entry
        for name, error in self._lost.items():
            self._end(Failed(entry, error, destination=name))

    async def _work(
        self, entries: MemoryObjectReceiveStream[Entry], done: Mapping[Lane, MemoryObjectSendStream[Uploaded]]
    ) -> None:
        async def hand_over(lane: Lane, uploaded: Uploaded) -> None:
            async with lane.transfer.discarded_on_error(uploaded.temporary):
                await done[lane].send(uploaded)

        with entries, ExitStack() as streams:
            for stream in done.values():
                streams.enter_context(stream)
            async for entry in entries:
                await self._upload(entry, 1, self._lanes, hand_over)

    async def _verify(self, lane: Lane, uploaded: MemoryObjectReceiveStream[Uploaded]) -> None:
        with uploaded:
            async for archive in uploaded:
                await self._settle(lane, archive)

    async def _settle(self, lane: Lane, uploaded: Uploaded) -> None:
        """Verify and commit, or delete and make the archive again."""
        try:
            self._end(await lane.transfer.commit(uploaded))
        except BackupError as error:
            if self._may_try_again(uploaded.entry, lane, error, uploaded.attempt):
                await self._upload(uploaded.entry, uploaded.attempt + 1, [lane], self._settle)

    async def _upload(
        self,
        entry: Entry,
        attempt: int,
        lanes: Sequence[Lane],
        take: Callable[[Lane, Uploaded], Coroutine[object, object, None]],
    ) -> None:
        """Upload, as often as is allowed; what stands on a server is taken at once, before others are tried again."""
        hard_links = True
        while lanes:
            async with self._place() as leave:
                lanes = self._worth_trying(entry, lanes)
                if not lanes:
                    return
                self._listener(EntryStarted(entry, attempt))
                transfers = [lane.transfer for lane in lanes]
                results = await self._uploader.upload(entry, attempt, transfers, hard_links=hard_links, packed=leave)
            again = []
            async with task_group() as tasks:
                for lane, result in zip(lanes, results, strict=True):
                    if not isinstance(result, BackupError):
                        tasks.start_soon(take, lane, result)
                    elif self._may_try_again(entry, lane, result, attempt):
                        again.append(lane)
                        hard_links = hard_links and not isinstance(result, SourceMoved)
            lanes = again
            attempt += 1

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[Callable[[], None]]:
        """One of the places for entries that are packed; it can be left before the block ends."""
        await self._places.acquire()
        with ExitStack() as place:
            place.callback(self._places.release)
            yield place.close

    def _worth_trying(self, entry: Entry, lanes: Sequence[Lane]) -> list[Lane]:
        """Those at which the entry may be begun; at the others it has failed."""
        usable = []
        for lane in lanes:
            error = lane.reason_not_to_begin(entry)
            if error is None:
                usable.append(lane)
            else:
                self._end(Failed(entry, error, destination=lane.name))
        return usable

    def _may_try_again(self, entry: Entry, lane: Lane, error: BackupError, attempt: int) -> bool:
        """Whether another attempt follows; otherwise the entry has failed, or is left to be interrupted."""
        if self._is_stopping:
            return False
        key = entry.path, lane.name
        if error.is_of_reuse:
            self._sent_anew.add(key)
        if error.is_transient and attempt <= self._limits.retries + (key in self._sent_anew):
            self._listener(AttemptFailed(entry, error, attempt, lane.name))
            return True
        if isinstance(error, NO_SERVER) and len(self._lanes) > 1:
            lane.rest(error)
            self._listener(DestinationLost(lane.name, error))
        self._end(Failed(entry, error, attempt, lane.name))
        return False

    def _end(self, outcome: Outcome) -> None:
        del self._open[outcome.entry.path, outcome.destination]
        self._outcomes.append(outcome)
        self._listener(EntryEnded(outcome))
