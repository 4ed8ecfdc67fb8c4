"""The destinations of a run: opened side by side, each ready to take archives or lost with a reason."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anyio import Event, move_on_after

from async_backup.archive_names import SUFFIX, NameParser
from async_backup.catalog import catalog_of
from async_backup.errors import BackupError, RemoteError, Unreachable
from async_backup.events import Connected, DestinationLost, FewerConnections, LeftoverRemoved
from async_backup.remote.discarding import CLEANUP_GRACE
from async_backup.remote.places import path_in
from async_backup.remote.privacy import Privacy
from async_backup.remote.rate import RateLimit
from async_backup.remote.store import open_store
from async_backup.tasks import task_group
from async_backup.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from async_backup.catalog import StoredArchive
    from async_backup.config import Destination, Settings
    from async_backup.events import Listener
    from async_backup.remote.base import RemoteEntry
    from async_backup.remote.naming import RunId
    from async_backup.remote.store import SftpStore
    from async_backup.scan import Source


@dataclass(frozen=True, slots=True)
class Opened:
    """Destinations that take archives, and those that do not, by name, with the reason."""

    transfers: list[Transfer] = field(default_factory=list)
    lost: dict[str, BackupError] = field(default_factory=dict)


class Destinations:
    """Opens the destinations of a run. Use `open_destinations`."""

    def __init__(
        self, settings: Settings, sources: Sequence[Source], timestamp: str, run: RunId, listener: Listener
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._ending = b"-" + os.fsencode(timestamp) + SUFFIX
        self._run = run
        self._listener = listener
        self._rate = RateLimit(settings.limits.rate)
        self.opened = Opened()

    async def keep(self, destination: Destination, settled: Event, over: Event) -> None:
        """Keep a destination open until the run is over; `settled` is set once it is ready, or lost."""
        name, wanted = str(destination), self._settings.limits.connections
        try:
            store = open_store(
                destination,
                self._settings.ssh,
                self._settings.limits,
                algorithm=self._settings.hash,
                verify=self._settings.verify,
                rate=self._rate,
                when_fewer=lambda there, error: self._listener(FewerConnections(name, there, wanted, str(error))),
            )
            async with store as opened:
                self.opened.transfers.append(await self._ready(opened, name))
                settled.set()
                await over.wait()
                await self._make_durable(opened)
        except BackupError as error:
            self._lose(name, error)
        finally:
            settled.set()

    def _lose(self, name: str, error: BackupError) -> None:
        self.opened.lost[name] = error
        if len(self._settings.destinations) > 1:
            self._listener(DestinationLost(name, error))

    async def _ready(self, store: SftpStore, name: str) -> Transfer:
        """The store is tried out while its directories are looked through: both are some round trips."""
        async with task_group() as tasks:
            tasks.start_soon(store.try_out, self._run)
            listed = await self._prepare_directories(store)
        taken, left_over = self._in_the_way(listed)
        how = store.verification, store.verification_reason
        is_open = store.privacy is Privacy.NONE
        self._listener(Connected(store.host, store.directory, *how, name, is_open_to_others=is_open))
        for path in left_over:
            await self._remove_leftover(store, path)
        return Transfer(
            store,
            self._listener,
            destination=name,
            base=store.directory,
            run=self._run,
            algorithm=self._settings.hash,
            checksum_file=self._settings.checksum_file,
            taken=frozenset(taken),
            previous=self._verified(listed) if self._settings.link_unchanged or self._settings.copy_unchanged else {},
            copies=self._settings.copy_unchanged,
        )

    async def _prepare_directories(self, store: SftpStore) -> dict[bytes, Sequence[RemoteEntry]]:
        """Make the sources' directories; returns what is in them."""
        listed: dict[bytes, Sequence[RemoteEntry]] = {}

        async def prepare(directory: bytes) -> None:
            path = path_in(store, directory)
            if directory:
                await store.make_directory(path)
            listed[directory] = await store.entries(path)

        async with task_group() as tasks:
            for source in self._sources:
                tasks.start_soon(prepare, source.directory)
        return listed

    def _in_the_way(self, listed: Mapping[bytes, Sequence[RemoteEntry]]) -> tuple[set[bytes], list[bytes]]:
        """Archives that have the names of ours, and what dead runs left; by their paths in the destination."""
        taken, left_over = set[bytes](), list[bytes]()
        for directory, entries in listed.items():
            prefix = directory + b"/" if directory else b""
            for entry in entries:
                if entry.name.endswith(self._ending):
                    taken.add(prefix + entry.name)
                elif self._run.is_left_over(entry.name, time.time() - entry.mtime):
                    left_over.append(prefix + entry.name)
        return taken, left_over

    def _verified(self, listed: Mapping[bytes, Sequence[RemoteEntry]]) -> dict[bytes, StoredArchive]:
        """The newest archive of each entry that was verified by the hash of this run."""
        catalog = catalog_of(listed, NameParser((self._settings.timestamp_format,)))
        return {
            archive.entry: archive
            for archive in catalog.archives
            if archive.when is not None and self._settings.hash in archive.checksums
        }

    async def _remove_leftover(self, store: SftpStore, path: bytes) -> None:
        path = path_in(store, path)
        try:
            await store.remove(path)
        except RemoteError:
            return  # another account's, perhaps; it harms nobody
        self._listener(LeftoverRemoved(path))

    async def _make_durable(self, store: SftpStore) -> None:
        with move_on_after(CLEANUP_GRACE):
            async with task_group() as tasks:
                for source in self._sources:
                    tasks.start_soon(store.sync_directory, path_in(store, source.directory))

    def check(self) -> None:
        """Raises BackupError where no destination is left."""
        if self.opened.transfers:
            return
        errors = self.opened.lost
        if len(errors) == 1:
            raise next(iter(errors.values()))
        raise Unreachable(f"none of {len(errors)} destinations can be used; what is wrong with each stands above")


@asynccontextmanager
async def open_destinations(
    settings: Settings, sources: Sequence[Source], timestamp: str, run: RunId, listener: Listener
) -> AsyncIterator[Opened]:
    """Those of the settings, at least one of them ready; raises BackupError where there is none."""
    destinations = Destinations(settings, sources, timestamp, run, listener)
    over = Event()
    async with task_group() as tasks:
        settled = [Event() for _ in settings.destinations]
        for destination, event in zip(settings.destinations, settled, strict=True):
            tasks.start_soon(destinations.keep, destination, event, over)
        for event in settled:
            await event.wait()
        destinations.check()
        yield destinations.opened
        over.set()
