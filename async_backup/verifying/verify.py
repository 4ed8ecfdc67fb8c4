"""The public call that verifies: list what there is and what was recorded, compare, say what is wrong."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import Event, to_thread

from async_backup import unpack_process
from async_backup.archive_names import NameParser
from async_backup.catalog import catalog_of, read_directories
from async_backup.config import HASHES
from async_backup.errors import NO_SERVER, BackupError, NoDigestCommand, RemoteError
from async_backup.events import ignore
from async_backup.heap import keep_freed_memory
from async_backup.processes import warm_up
from async_backup.remote.digest_lines import is_plain
from async_backup.remote.naming import RunId
from async_backup.remote.places import path_in
from async_backup.remote.store import open_archives
from async_backup.stopping import unless_stopped
from async_backup.tasks import task_group
from async_backup.verifying.choice import alone, check_any, checksum_files, choose, items, look_again
from async_backup.verifying.deep import DeepCheck
from async_backup.verifying.digests import check_digests, without_record
from async_backup.verifying.model import ChecksumAlone, MethodFound, Progress, VerifyEnded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from async_backup.remote.store import SftpStore
    from async_backup.verifying.choice import Item
    from async_backup.verifying.model import VerifyListener, VerifyReport, VerifySettings

_HASH = "md5"
"""What `run` records if nothing else is asked for."""


async def verify(
    settings: VerifySettings, listener: VerifyListener = ignore, *, stop: Event | None = None
) -> VerifyReport:
    """Verify archives in their destination; returns how many are what. Nothing is written but missing checksum files.

    Setting `stop` ends it early. Raises BackupError where nothing could be verified: no such archive, no connection.
    With `deep` it starts processes as `backup` does.
    """
    keep_freed_memory()
    return await _Verification(settings, listener).run(stop or Event())


class _Verification:
    """One verification under way."""

    def __init__(self, settings: VerifySettings, listener: VerifyListener) -> None:
        self._settings = settings
        self._listener = listener
        self._progress = Progress(listener)
        self._has_begun = False
        self._algorithms: Counter[str] = Counter()
        """The hashes that were met, by how many archives were recorded with them."""
        self._error: BackupError | None = None

    async def run(self, stop: Event) -> VerifyReport:
        began = time.monotonic()
        async with task_group() as tasks:
            if self._settings.deep:
                tasks.start_soon(to_thread.run_sync, warm_up, unpack_process.__name__)
            await unless_stopped(stop, self._verify)
        report = self._progress.report(time.monotonic() - began, self._error, interrupted=stop.is_set())
        self._listener(VerifyEnded(report))
        return report

    async def _verify(self) -> None:
        try:
            async with self._opened(_HASH) as store:
                found = await self._find(store)
                self._has_begun = True
                check = self._check_deep if self._settings.deep else self._check_digests
                await check(store, [item for item in found if item.algorithm])
                late = await look_again(store, [item for item in found if not item.algorithm])
                await check(store, late)
        except BackupError as error:
            if not self._has_begun:
                raise
            self._error = error

    @asynccontextmanager
    async def _opened(self, algorithm: str) -> AsyncIterator[SftpStore]:
        settings = self._settings
        where = settings.destination, settings.ssh, settings.limits
        async with open_archives(*where, algorithm=algorithm, verify=settings.verify) as store:
            yield store

    async def _find(self, store: SftpStore) -> list[Item]:
        names = self._settings.names
        listed = await read_directories(store)
        catalog, sizes = catalog_of(listed, NameParser(self._settings.timestamp_formats)), checksum_files(listed)
        chosen = choose(catalog, names)
        check_any(chosen, store.directory)
        self._progress.start(len(chosen), sum(archive.size for archive in chosen))
        for path in alone(sizes, catalog) if not names else ():
            self._progress.tell(ChecksumAlone(path))
        return list(items(chosen, sizes, are_named=bool(names)))

    async def _check_deep(self, store: SftpStore, found: Sequence[Item]) -> None:
        if not found:
            return
        self._algorithms.update(item.algorithm for item in found if item.algorithm)
        algorithm = self._algorithms.most_common(1)[0][0] if self._algorithms else _HASH
        repair = RunId.of_this_process() if self._settings.repair_checksums else None
        await DeepCheck(store, self._progress, self._settings.limits, algorithm=algorithm, repair=repair).run(found)

    async def _check_digests(self, store: SftpStore, found: Sequence[Item]) -> None:
        for algorithm in HASHES:
            group = [item for item in found if item.algorithm == algorithm]
            if group and algorithm == _HASH:
                await self._check_group(store, algorithm, group)
            elif group:
                async with self._opened(algorithm) as other:
                    await self._check_group(other, algorithm, group)
        for item in found:
            if not item.algorithm:
                self._progress.end(without_record(item))

    async def _check_group(self, store: SftpStore, algorithm: str, group: Sequence[Item]) -> None:
        await _find_command(store, group)
        if not self._algorithms[algorithm]:
            self._progress.tell(MethodFound(algorithm, store.verification, store.verification_reason))
        self._algorithms[algorithm] += len(group)
        await check_digests(store, group, self._progress, at_once=self._settings.limits.verifications)


async def _find_command(store: SftpStore, group: Sequence[Item]) -> None:
    """Try commands on a checksum file: it is small, and it is there; the plainer its name, the better."""
    for item in sorted(group, key=lambda item: (not is_plain(b"/" + item.checksum_file), item.size)):
        if item.size:
            try:
                return await store.find_digest_command(path_in(store, item.checksum_file))
            except (NoDigestCommand, *NO_SERVER):
                raise
            except RemoteError:
                continue  # it cannot be read, which its own turn will tell
    return None
