"""A directory on a server over SFTP: the contract of `base.py`, with retries over the pool's connections."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from anyio import move_on_after, to_thread

from async_backup.config import Verify
from async_backup.errors import ConnectionDropped, NoDigestCommand, RemoteError, RemoteExists, RemoteNotFound
from async_backup.remote.base import StoredDigest
from async_backup.remote.digest import DigestCommand
from async_backup.remote.pool import open_pool
from async_backup.remote.rate import RateLimit
from async_backup.remote.retry import retried
from async_backup.remote.ssh.connection import OpenFlags
from async_backup.remote.ssh.dial import Dialer
from async_backup.remote.striped import StripedFile
from async_backup.tasks import SharedRun, task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from async_backup.config import Destination as DestinationSettings
    from async_backup.config import Limits, SshSettings
    from async_backup.remote.base import RemoteEntry, RemoteFile
    from async_backup.remote.naming import RunId
    from async_backup.remote.pool import Pool
    from async_backup.remote.ssh.connection import Channel, Handle

_T = TypeVar("_T")

_READS_AT_ONCE = 16
_PROBE_SIZE = 4096
_CLOSING_GRACE = 1.0
READBACK = "readback"


class SftpStore:
    """A `RemoteStore` on a server. Use `open_store`."""

    def __init__(self, pool: Pool, limits: Limits, algorithm: str, timeout: float) -> None:
        self._pool = pool
        self._retries = limits.retries
        self._rate = RateLimit(limits.rate)
        self._algorithm = algorithm
        self._command = DigestCommand(pool, algorithm, timeout)
        self._syncs: dict[bytes, SharedRun] = {}
        self._verify = Verify.AUTO
        self.host = pool.host
        self.directory = b"."
        self.verification = READBACK
        """What computes the digests: a command's name, or that files are read back."""
        self.verification_reason = ""

    async def prepare(self, directory: bytes, verify: Verify, run: RunId) -> None:
        """Make the directory, see that it can be written to, and find out how to verify; raises RemoteError."""
        await self.make_directory(directory)
        self.directory = await self._retry(lambda channel: channel.real_path(directory))
        self._verify = verify
        await self._probe(b"%b/%b" % (self.directory.rstrip(b"/"), run.temporary_name(b"probe")))
        if self.verification == READBACK:
            self._pool.drop_shells()

    async def _probe(self, path: bytes) -> None:
        content = secrets.token_bytes(_PROBE_SIZE)
        file = await self.create(path)
        try:
            await file.write(0, content)
            await file.finish()
            if self._verify is not Verify.READBACK:
                await self._find_command(path, hashlib.new(self._algorithm, content, usedforsecurity=False).hexdigest())
        finally:
            await file.abandon()
            await self.remove(path)

    async def _find_command(self, path: bytes, expected: str) -> None:
        try:
            self.verification = await self._command.find(path, expected)
        except RemoteError as error:
            if self._verify is Verify.COMMAND:
                raise NoDigestCommand(
                    f"{error}; use --verify auto or readback to read archives back instead"
                ) from error
            self.verification_reason = str(error)

    async def make_directory(self, path: bytes) -> None:
        """See `RemoteStore`."""
        await self._retry(lambda channel: _make_directory(channel, path))

    async def entries(self, path: bytes) -> Sequence[RemoteEntry]:
        """See `RemoteStore`."""
        return await self._retry(lambda channel: channel.entries(path))

    async def create(self, path: bytes) -> RemoteFile:
        """See `RemoteStore`."""
        is_second = False

        async def create(channel: Channel) -> RemoteFile:
            nonlocal is_second
            if is_second:
                await _remove_on(channel, path)
            was_tried, is_second = is_second, True
            handle = await _create_on(channel, path, was_tried=was_tried)
            return StripedFile(self._pool, handle, path, rate=self._rate, retries=self._retries)

        try:
            return await self._retry(create)
        except ConnectionDropped:
            with suppress(RemoteError):
                await self.remove(path)
            raise

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """See `RemoteStore`. What the server cannot tell is read back and hashed here."""
        if self.verification != READBACK:
            try:
                return await retried(lambda: self._command.digest(path, size), self._retries)
            except RemoteError:
                if self._verify is Verify.COMMAND:
                    await self._check_exists(path)
                    raise
        return StoredDigest(await self._retry(lambda channel: self._read_back(channel, path)), READBACK)

    async def _check_exists(self, path: bytes) -> None:
        if not await self._retry(lambda channel: channel.exists(path)):
            raise RemoteNotFound(f"{self.host}: {path.decode('utf-8', 'backslashreplace')} is gone")

    async def _read_back(self, channel: Channel, path: bytes) -> str:
        digest = hashlib.new(self._algorithm, usedforsecurity=False)
        async with _open_for_reading(channel, path) as handle:
            offset = 0
            while block := await _read_block(handle, offset):
                await to_thread.run_sync(digest.update, block)
                offset += len(block)
        return digest.hexdigest()

    async def rename(self, source: bytes, target: bytes) -> None:
        """See `RemoteStore`. Where the answer was lost, both names are looked at before it is tried again."""
        is_second = False

        async def rename(channel: Channel) -> None:
            nonlocal is_second
            if is_second and await channel.exists(target) and not await channel.exists(source):
                return
            is_second = True
            try:
                await channel.rename(source, target)
            except ConnectionDropped:
                raise
            except RemoteError as error:
                raise await _explain_taken(channel, error, target) from error

        await self._retry(rename)

    async def remove(self, path: bytes) -> None:
        """See `RemoteStore`."""
        await self._retry(lambda channel: _remove_on(channel, path))

    async def sync_directory(self, path: bytes) -> None:
        """See `RemoteStore`. OpenSSH flushes a directory through a handle that is open for reading."""
        if path not in self._syncs:
            self._syncs[path] = SharedRun(lambda: self._retry(lambda channel: _sync_directory(channel, path)))
        with suppress(RemoteError):
            await self._syncs[path].join()

    async def _retry(self, call: Callable[[Channel], Awaitable[_T]]) -> _T:
        async def call_once() -> _T:
            return await call(await self._pool.channel())

        return await retried(call_once, self._retries)


async def _make_directory(channel: Channel, path: bytes) -> None:
    if await channel.is_directory(path):
        return
    parent = path.rpartition(b"/")[0]
    if parent:
        await _make_directory(channel, parent)
    try:
        await channel.make_directory(path)
    except ConnectionDropped:
        raise
    except RemoteError as error:
        if not await channel.is_directory(path):
            if await channel.exists(path):
                shown = path.decode("utf-8", "backslashreplace")
                host = channel.connection.host
                raise RemoteError(f"{host}: {shown} exists on the server and is not a directory") from error
            raise await channel.explain(error, parent or b".") from error


async def _remove_on(channel: Channel, path: bytes) -> None:
    with suppress(RemoteNotFound):
        await channel.remove(path)


async def _create_on(channel: Channel, path: bytes, *, was_tried: bool) -> Handle:
    try:
        return await channel.open(path, OpenFlags.CREATE)
    except ConnectionDropped:
        raise
    except RemoteError as error:
        reason = await _explain_taken(channel, error, path)
        if was_tried and isinstance(reason, RemoteExists):
            raise ConnectionDropped(f"{reason} (made by an attempt whose answer was lost)") from error
        raise reason from error


async def _sync_directory(channel: Channel, path: bytes) -> None:
    async with _open_for_reading(channel, path) as handle:
        await handle.sync()


@asynccontextmanager
async def _open_for_reading(channel: Channel, path: bytes) -> AsyncIterator[Handle]:
    handle = await channel.open(path, OpenFlags.READ)
    try:
        yield handle
    finally:
        with move_on_after(_CLOSING_GRACE, shield=True), suppress(RemoteError):
            await handle.close()


async def _explain_taken(channel: Channel, error: RemoteError, path: bytes) -> RemoteError:
    if type(error) is RemoteError and await channel.exists(path):
        name = path.rpartition(b"/")[2].decode("utf-8", "backslashreplace")
        return RemoteExists(f"{channel.connection.host}: {name} exists already; nothing is overwritten")
    return await channel.explain(error, path.rpartition(b"/")[0] or b".")


async def _read_block(handle: Handle, offset: int) -> bytes:
    """Up to sixteen chunks from `offset`, read at once; b"" at the end of the file."""
    parts = [b""] * _READS_AT_ONCE
    chunk = handle.channel.chunk

    async def read(i: int) -> None:
        async with handle.channel.window:
            parts[i] = await handle.read(offset + i * chunk, chunk)

    async with task_group() as tasks:
        for i in range(_READS_AT_ONCE):
            tasks.start_soon(read, i)
    whole = next((i for i, part in enumerate(parts) if len(part) < chunk), _READS_AT_ONCE - 1)
    return b"".join(parts[: whole + 1])


@asynccontextmanager
async def open_store(
    destination: DestinationSettings, ssh: SshSettings, limits: Limits, *, algorithm: str, verify: Verify, run: RunId
) -> AsyncIterator[SftpStore]:
    """A store that is connected and prepared. Raises BackupError where nothing can be done there."""
    dialer = await Dialer.prepare(destination, ssh)
    pool_limits = {"connections": limits.connections, "channels": limits.channels, "retries": limits.retries}
    async with open_pool(dialer, **pool_limits, timeout=ssh.timeout) as pool:
        store = SftpStore(pool, limits, algorithm, ssh.timeout)
        await store.prepare(destination.directory, verify, run)
        yield store
