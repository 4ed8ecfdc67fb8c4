"""One SFTP channel: requests with an end, errors of ours, nothing left behind.

A request that gets no answer ends its channel: the library would leak the server's side of it otherwise.
"""

from __future__ import annotations

from asyncio import Timeout, timeout
from contextlib import asynccontextmanager, contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, TypeVar

import asyncssh
from anyio import Semaphore, get_cancelled_exc_class

from async_backup.errors import ConnectionDropped, RemoteError
from async_backup.remote.ssh.handle import Handle, about
from async_backup.remote.ssh.listing import Listing
from async_backup.remote.ssh.names import entry_of, is_name, name_bytes
from async_backup.remote.ssh.settle import settled
from async_backup.remote.ssh.translate import REQUEST_ERRORS, full, request_error
from async_backup.remote.ssh.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from async_backup.remote.base import RemoteEntry
    from async_backup.remote.ssh.connection import Connection

_T = TypeVar("_T")

_WINDOW = 2 << 20
"""Bytes that OpenSSH lets a channel have under way; more requests than fill it cost memory and gain nothing."""

_READ_ONLY = 1

_PRIVATE = asyncssh.SFTPAttrs(permissions=0o600)
_NO_ATTRIBUTES = asyncssh.SFTPAttrs()


class OpenFlags(IntEnum):
    """How a file is opened. Creation is exclusive: it refuses a name that exists, symbolic links included."""

    READ = asyncssh.FXF_READ
    WRITE = asyncssh.FXF_WRITE
    CREATE = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL


class Channel:
    """One SFTP channel. Requests may overlap; data requests are bounded by the window."""

    def __init__(
        self, sftp: asyncssh.SFTPClient, connection: Connection, chunk: int, *, lists_ahead: bool = False
    ) -> None:
        """`lists_ahead` says that several requests for the names in one directory may be under way."""
        self._sftp = sftp
        self._lists_ahead = lists_ahead
        self.connection = connection
        self.chunk = chunk
        """Bytes that the server takes, and gives, in one data request."""
        self.depth = max(2, -(-_WINDOW // chunk) + 1)
        self.window = Semaphore(self.depth, fast_acquire=True)
        self.watch = Watch(connection.timeout)
        self.load = 0
        """Bytes that writers and readers have in hand for this channel, under way or not."""
        self._is_discarded = False

    @property
    def is_usable(self) -> bool:
        return not self._is_discarded and self.connection.is_usable

    @contextmanager
    def loaded(self, size: int) -> Iterator[None]:
        """Count `size` bytes as the channel's load; decided before the first suspension, or all choose the same one."""
        self.load += size
        try:
            yield
        finally:
            self.load -= size

    def discard(self) -> None:
        """Use the channel no more; its requests end with ConnectionDropped."""
        self._is_discarded = True
        self.watch.cancel()
        self._sftp.exit()

    async def request(self, doing: str, call: Callable[[], Awaitable[_T]], size: int = 0) -> _T:
        """Wait for one request; raises RemoteError, ConnectionDropped where the channel ended or gave no answer."""
        async with self.bounded(doing) as limit:
            number = self.watch.begin(limit, size)
            try:
                answer = await call()
            finally:
                self.watch.end(number)
            self.watch.note_answer()
            return answer

    @asynccontextmanager
    async def bounded(self, doing: str) -> AsyncIterator[Timeout]:
        """A block of requests with an end that the watch can set, and the errors of `request`."""
        host = self.connection.host
        if not self.is_usable:
            raise ConnectionDropped(f"{host}: {doing}: the SFTP channel was closed")
        try:
            async with timeout(None) as limit:
                try:
                    yield limit
                except REQUEST_ERRORS as error:
                    self.watch.note_answer()
                    raise request_error(error, host, doing) from error
        except ConnectionDropped:
            self.discard()
            raise
        except TimeoutError as error:
            self.discard()
            told = f"no answer for {self.connection.timeout:g} seconds"
            raise ConnectionDropped(f"{host}: {doing}: {told}") from error

    async def open(self, path: bytes, flags: OpenFlags) -> Handle:
        """Open a file; a new one may be read by its owner only."""
        attributes = _PRIVATE if flags is OpenFlags.CREATE else _NO_ATTRIBUTES
        try:
            file = await settled(
                self.request(
                    about("opening", path),
                    lambda: self._sftp.open(path, int(flags), attributes, encoding=None, block_size=0),
                )
            )
        except get_cancelled_exc_class():
            self.discard()  # or the server would keep open what nobody will ever close
            raise
        return Handle(file, self, path)

    async def copy(
        self,
        target: asyncssh.SFTPClientFile,
        offset: int,
        source: asyncssh.SFTPClientFile,
        source_offset: int,
        length: int,
    ) -> None:
        """Have the server copy between two open files, by OpenSSH's extension copy-data."""
        await self.request(
            "copying on the server",
            lambda: self._sftp.remote_copy(source, target, source_offset, length, offset),
            length,
        )

    async def make_directory(self, path: bytes) -> None:
        await self.request(about("making", path), lambda: self._sftp.mkdir(path))

    async def is_directory(self, path: bytes) -> bool:
        return await self.request(about("looking at", path), lambda: self._sftp.isdir(path))

    async def exists(self, path: bytes) -> bool:
        """Whether the name is taken, by whatever it may be."""
        return await self.request(about("looking at", path), lambda: self._sftp.lexists(path))

    async def entries(self, path: bytes) -> Sequence[RemoteEntry]:
        doing = about("listing", path)
        if self._lists_ahead:
            found = await Listing(self, self._sftp._handler, doing).read(self._sftp.compose_path(path))
        else:
            found = list(await self.request(doing, lambda: self._sftp.readdir(path)))
        entries = [entry_of(name_bytes(entry.filename), entry.attrs) for entry in found]
        return [entry for entry in entries if is_name(entry.name)]

    async def entry(self, path: bytes) -> RemoteEntry:
        """The name itself, not what a symbolic link points to; raises RemoteNotFound."""
        attributes = await self._attributes(path)
        return entry_of(path.rpartition(b"/")[2], attributes)

    async def mode(self, path: bytes) -> int | None:
        """The permissions of a file, if the server tells them; raises RemoteNotFound."""
        attributes = await self._attributes(path)
        return None if attributes.permissions is None else attributes.permissions & 0o777

    async def _attributes(self, path: bytes) -> asyncssh.SFTPAttrs:
        return await self.request(about("looking at", path), lambda: self._sftp.lstat(path))

    async def make_private(self, path: bytes) -> None:
        """Have a file for its owner alone."""
        await self.request(about("setting the mode of", path), lambda: self._sftp.setstat(path, _PRIVATE))

    async def real_path(self, path: bytes) -> bytes:
        return name_bytes(await self.request(about("resolving", path), lambda: self._sftp.realpath(path)))

    async def link(self, source: bytes, target: bytes) -> None:
        """A further name of a file, by OpenSSH's extension for hard links."""
        await self.request(about("linking to", target), lambda: self._sftp.link(source, target))

    async def rename(self, source: bytes, target: bytes) -> None:
        """SFTP version 3's own rename, which does not overwrite; posix-rename would."""
        await self.request(about("renaming to", target), lambda: self._sftp.rename(source, target))

    async def remove(self, path: bytes) -> None:
        await self.request(about("removing", path), lambda: self._sftp.remove(path))

    async def explain(self, error: RemoteError, directory: bytes) -> RemoteError:
        """A better error for OpenSSH's plain "Failure", which it gives for a full and for a read-only disk alike."""
        if type(error) is not RemoteError:
            return error
        try:
            status = await self.request("asking for free space", lambda: self._sftp.statvfs(directory))
        except RemoteError:
            return error
        if status.bavail == 0 or (status.files and status.favail == 0):
            return full(self.connection.host)
        if status.flags & _READ_ONLY:
            return RemoteError(f"{error} (its file system is mounted read-only)")
        return error
