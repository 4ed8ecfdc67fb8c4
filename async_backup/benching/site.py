"""A directory of our own on the server, below the destination, and its end: the destination is left as it was."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import CapacityLimiter, move_on_after, sleep

from async_backup.errors import SERVER_GONE, BackupError, RemoteError, RemoteNotFound
from async_backup.remote import steps
from async_backup.remote.pool import Pool
from async_backup.remote.ssh.dial import Dialer
from async_backup.remote.ssh.examine import remove_directory
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from async_backup.config import Destination, SshSettings
    from async_backup.remote.naming import RunId

_NAME = b"bench"
_PREFIX = b".bench."
_REMOVALS_AT_ONCE = 256
_ATTEMPTS = 6
_PAUSE = 0.15
"""Seconds between attempts: what was sent before a connection was cut may still reach the disk for a moment."""

CLEANING_GRACE = 10.0
STOPPED_GRACE = 3.0
"""Seconds for cleaning up where somebody has asked to stop."""


class Site:
    """The directory, and a connection that serves it alone. Use `open_site`."""

    def __init__(self, pool: Pool, leftovers: list[str]) -> None:
        self.pool = pool
        self.host = pool.host
        self.directory = b""
        self._made: list[bytes] = []
        self._leftovers = leftovers
        self.removed: list[bytes] = []
        """Directories of benchmarks that died, which are gone now."""

    async def make(self, directory: bytes, run: RunId) -> None:
        """Make the directory, and those above it that are missing; raises RemoteError."""
        channel = await self.pool.channel()
        missing = [path for path in _with_parents(directory) if not await channel.exists(path)]
        for path in missing:
            self._made.append(path)
            await steps.make_directory(channel, path)
        base = await steps.find_directory(channel, directory)
        await self._remove_left_over(base, run)
        self.directory = b"%b/%b" % (base.rstrip(b"/"), run.temporary_name(_NAME))
        await channel.make_directory(self.directory)

    async def _remove_left_over(self, base: bytes, run: RunId) -> None:
        channel = await self.pool.channel()
        for entry in await channel.entries(base):
            is_ours = entry.is_directory and entry.name.startswith(_PREFIX)
            if is_ours and run.is_left_over(entry.name, time.time() - entry.mtime):
                path = b"%b/%b" % (base.rstrip(b"/"), entry.name)
                if await self._remove_tree(path):
                    self.removed.append(path)

    def place(self, name: bytes) -> bytes:
        """A path in the directory."""
        return b"%b/%b" % (self.directory, name)

    async def clear(self, name: bytes) -> None:
        """Remove a directory in the directory, with all that is in it; what stays goes at the end."""
        await self._remove_tree(self.place(name))

    async def remove(self, grace: float) -> None:
        """Remove all that was made, for at most `grace` seconds; what stays is named in `leftovers`. Raises nothing."""
        is_gone = False
        with move_on_after(grace, shield=True):
            is_gone = not self.directory or await self._remove_tree(self.directory)
            if is_gone:
                await self._remove_made()
        if not is_gone:
            self._leftovers.append(os.fsdecode(self.directory))

    async def _remove_made(self) -> None:
        """Directories above ours go unless somebody has put something there meanwhile."""
        for path in reversed(self._made):
            try:
                await remove_directory(await self.pool.channel(), path)
            except RemoteNotFound:
                continue
            except BackupError:
                return

    async def _remove_tree(self, path: bytes) -> bool:
        """Whether it is gone; it is tried again as long as something still arrives in it."""
        for _ in range(_ATTEMPTS):
            try:
                await self._remove_once(path)
            except RemoteNotFound:
                return True
            except SERVER_GONE:
                return False
            except RemoteError:
                await sleep(_PAUSE)
            else:
                return True
        return False

    async def _remove_once(self, path: bytes) -> None:
        channel, turns = await self.pool.channel(), CapacityLimiter(_REMOVALS_AT_ONCE)

        async def remove(name: bytes) -> None:
            async with turns:
                await steps.remove(channel, name)

        found = await channel.entries(path)
        for entry in found:
            if entry.is_directory:
                await self._remove_once(b"%b/%b" % (path, entry.name))
        async with task_group() as tasks:
            for entry in found:
                if not entry.is_directory:
                    tasks.start_soon(remove, b"%b/%b" % (path, entry.name))
        await remove_directory(channel, path)


def _with_parents(path: bytes) -> Iterator[bytes]:
    """The path and those above it, from the top."""
    parent = path.rpartition(b"/")[0]
    if parent:
        yield from _with_parents(parent)
    yield path


@asynccontextmanager
async def open_site(
    destination: Destination,
    ssh: SshSettings,
    run: RunId,
    *,
    retries: int,
    leftovers: list[str],
    is_stopped: Callable[[], bool],
) -> AsyncIterator[Site]:
    """A new directory in the destination, gone again after the block, however it ends; raises BackupError.

    Only what has the name of this run is removed, and directories of benchmarks whose process is dead. What could
    not be removed is added to `leftovers`.
    """
    dialer = await Dialer.prepare(destination, ssh)
    pool = Pool(dialer, connections=1, channels=1, retries=retries, timeout=ssh.timeout)
    async with pool.opened(with_shell=False):
        site = Site(pool, leftovers)
        try:
            await site.make(destination.directory, run)
            yield site
        finally:
            await site.remove(STOPPED_GRACE if is_stopped() else CLEANING_GRACE)
