"""A directory on a server over SFTP: the contract of `base.py`, with retries over the pool's connections."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from anyio import Semaphore

from async_backup.config import Verify
from async_backup.errors import ConnectionDropped, RemoteError, RemoteNotFound
from async_backup.remote import steps
from async_backup.remote.digest import ServerDigests, ways
from async_backup.remote.pool import Pool
from async_backup.remote.privacy import Privacy
from async_backup.remote.probe import Probe
from async_backup.remote.rate import RateLimit
from async_backup.remote.reading import StripedReader, digest_of, read_at_once
from async_backup.remote.requests import Requests
from async_backup.remote.ssh.dial import Dialer
from async_backup.remote.striped import new_file
from async_backup.remote.verification import Verification
from async_backup.tasks import SharedRun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from async_backup.config import Destination as DestinationSettings
    from async_backup.config import Limits, SshSettings
    from async_backup.remote.base import RemoteEntry, RemoteReader, StoredDigest
    from async_backup.remote.naming import RunId
    from async_backup.remote.pool import WhenFewer
    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.striped import StripedFile


class SftpStore:
    """A `RemoteStore` on a server. Use `open_store`."""

    def __init__(self, pool: Pool, limits: Limits, algorithm: str, timeout: float, rate: RateLimit) -> None:
        self._pool = pool
        self._requests = Requests(pool, limits.retries)
        self._retries = limits.retries
        self._rate = rate
        self._algorithm = algorithm
        digests = ServerDigests(ways(pool, algorithm, timeout))
        self._verification = Verification(digests, self._read_back, retries=limits.retries)
        self._syncs: dict[bytes, SharedRun] = {}
        self._readings = Semaphore(limits.connections, fast_acquire=True)  # a reader holds some blocks of memory
        self.host = pool.host
        self.directory = b"."
        self.is_in_order = False
        """Whether the server takes a file only from its beginning to its end, as `try_out` has found."""
        self.privacy = Privacy.KEPT
        """Whether new files are for their owner alone, as `try_out` has found."""

    @property
    def verification(self) -> str:
        """What computes the digests: the name of something on the server, or that files are read back."""
        return self._verification.computed_by

    @property
    def verification_reason(self) -> str:
        """Why files are read back, unless that is what was wanted."""
        return self._verification.reason

    async def prepare(self, directory: bytes, verify: Verify) -> None:
        """Make the directory; raises RemoteError."""
        real = await self._requests.send(lambda channel: steps.real_directory(channel, directory))
        if real is None:
            await self.make_directory(directory)
            real = await self._requests.send(lambda channel: channel.real_path(directory))
        self.directory = real
        self._verification.mode = verify

    async def try_out(self, run: RunId) -> None:
        """See that the directory can be written to, and find out how to verify; raises RemoteError."""
        probe = Probe(self._requests, self._verification, self._algorithm, self.directory, run)
        await probe.run()
        self.is_in_order, self.privacy = probe.is_in_order, probe.privacy
        self._drop_useless_shells()

    async def prepare_to_read(self, directory: bytes, verify: Verify) -> None:
        """See that the directory is there; raises RemoteNotFound and other RemoteErrors. Nothing is written."""
        self.directory = await self._requests.send(lambda channel: steps.find_directory(channel, directory))
        self._verification.mode = verify

    async def find_digest_command(self, path: bytes) -> None:
        """Find out how to verify without writing anything: commands are tried on the file at `path`.

        It is read back for that, so choose a small one, but not an empty one. `verification` and
        `verification_reason` tell the outcome. Raises NoDigestCommand where there is none and one is insisted on.
        """
        await self._verification.find(path)
        self._drop_useless_shells()

    def _drop_useless_shells(self) -> None:
        if not self._verification.uses_shell:
            self._pool.drop_shells()

    async def make_directory(self, path: bytes) -> None:
        """See `RemoteStore`."""
        await self._requests.send(lambda channel: steps.make_directory(channel, path))

    async def entries(self, path: bytes) -> Sequence[RemoteEntry]:
        """See `RemoteStore`."""
        return await self._requests.send(lambda channel: channel.entries(path))

    async def create(self, path: bytes) -> StripedFile:
        """See `RemoteStore`."""

        async def create(channel: Channel, was_tried: bool) -> StripedFile:
            handle = await steps.create(channel, path, was_tried=was_tried)
            if self.privacy is Privacy.ON_REQUEST:
                await steps.make_private(handle)
            return new_file(self._pool, handle, is_in_order=self.is_in_order, rate=self._rate, retries=self._retries)

        try:
            return await self._requests.make(path, create)
        except ConnectionDropped:
            with suppress(RemoteError):
                await self.remove(path)
            raise

    async def open(self, path: bytes) -> RemoteReader:
        """See `RemoteStore`."""

        async def open_on(channel: Channel) -> RemoteReader:
            handle, size = await steps.open_regular(channel, path)
            return StripedReader(self._pool, handle, size=size, retries=self._retries)

        return await self._requests.send(open_on)

    async def read_ending(self, path: bytes, size: int, length: int) -> bytes:
        """See `RemoteStore`."""
        start = max(0, size - length)
        found = await self._requests.send(lambda channel: read_at_once(channel, path, start, size - start))
        if len(found) == size - start:
            return found
        reader = await self.open(path)
        try:
            return await reader.read(start, size - start)
        finally:
            await reader.close()

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """See `RemoteStore`. What the server cannot tell is read back and hashed here."""
        try:
            return await self._verification.digest(path, size)
        except RemoteError:
            if self._verification.mode is Verify.COMMAND:
                await self._check_exists(path)
            raise

    async def _check_exists(self, path: bytes) -> None:
        if not await self._requests.send(lambda channel: channel.exists(path)):
            raise RemoteNotFound(f"{self.host}: {path.decode('utf-8', 'backslashreplace')} is gone")

    async def _read_back(self, path: bytes) -> str:
        async with self._readings:
            reader = await self.open(path)
            try:
                return await digest_of(reader, self._algorithm)
            finally:
                await reader.close()

    async def rename(self, source: bytes, target: bytes) -> None:
        """See `RemoteStore`. Where the answer was lost, both names are looked at before it is tried again.

        OpenSSH refuses to overwrite. Others may not, so they are asked first whether the name is taken.
        """
        is_second = False

        async def rename(channel: Channel) -> None:
            nonlocal is_second
            if is_second and await channel.exists(target) and not await channel.exists(source):
                return
            is_second = True
            if not channel.connection.is_openssh:
                await steps.check_free(channel, target)
            try:
                await channel.rename(source, target)
            except ConnectionDropped:
                raise
            except RemoteError as error:
                raise await steps.explain_taken(channel, error, target) from error

        await self._requests.send(rename)

    async def link(self, source: bytes, target: bytes) -> None:
        """See `RemoteStore`."""
        await self._requests.make(target, lambda channel, _: channel.link(source, target))

    async def remove(self, path: bytes) -> None:
        """See `RemoteStore`."""
        await self._requests.remove(path, may_come_back=self.is_in_order)

    async def sync_directory(self, path: bytes) -> None:
        """See `RemoteStore`."""
        if path not in self._syncs:
            sync = partial(steps.sync_directory, path=path)
            self._syncs[path] = SharedRun(lambda: self._requests.send(sync))
        with suppress(RemoteError):
            await self._syncs[path].join()


@asynccontextmanager
async def open_store(
    destination: DestinationSettings,
    ssh: SshSettings,
    limits: Limits,
    *,
    algorithm: str,
    verify: Verify,
    rate: RateLimit | None = None,
    when_fewer: WhenFewer = lambda *_: None,
) -> AsyncIterator[SftpStore]:
    """A store that is connected and has its directory; `try_out` tells whether it can be used, and how.

    Raises BackupError where nothing can be done there.

    `rate` is one that several stores share; without it the store has its own, of `limits`. `when_fewer` is told of
    connections that there are not.
    """
    connected = _connected(destination, ssh, limits, algorithm, rate, with_shell=True, when_fewer=when_fewer)
    async with connected as store:
        await store.prepare(destination.directory, verify)
        yield store


@asynccontextmanager
async def open_archives(
    destination: DestinationSettings,
    ssh: SshSettings,
    limits: Limits,
    *,
    algorithm: str = "md5",
    verify: Verify = Verify.AUTO,
) -> AsyncIterator[SftpStore]:
    """A store on a directory that is there already; opening it makes and writes nothing on the server.

    Digests are read back until `find_digest_command` has found something better. Raises RemoteNotFound where the
    directory does not exist, and other BackupErrors where nothing can be done there.
    """
    async with _connected(destination, ssh, limits, algorithm, None, with_shell=False) as store:
        await store.prepare_to_read(destination.directory, verify)
        yield store


@asynccontextmanager
async def _connected(
    destination: DestinationSettings,
    ssh: SshSettings,
    limits: Limits,
    algorithm: str,
    rate: RateLimit | None,
    *,
    with_shell: bool,
    when_fewer: WhenFewer = lambda *_: None,
) -> AsyncIterator[SftpStore]:
    dialer = await Dialer.prepare(destination, ssh)
    pool = Pool(
        dialer,
        connections=limits.connections,
        channels=limits.channels,
        retries=limits.retries,
        timeout=ssh.timeout,
        when_fewer=when_fewer,
    )
    async with pool.opened(with_shell=with_shell):
        yield SftpStore(pool, limits, algorithm, ssh.timeout, rate or RateLimit(limits.rate))
