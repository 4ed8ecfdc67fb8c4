"""The digest of a stored file, computed by the server's SFTP itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from async_backup.errors import ConnectionDropped, NoDigestCommand, RemoteError
from async_backup.remote.base import StoredDigest
from async_backup.remote.ssh.check_file import check_file

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.commands import Commands

NAME = "check-file"
"""What is said to have computed the digests: the name of the request."""

_SHORT = 32 << 20
"""Bytes of a file that is asked for between other requests. A server that deals with them one after another, as
ProFTPD does, gives no answer to anything while it hashes."""


class DigestSource(Protocol):
    """What reaches a server that has no shell: `Pool`, or something smaller."""

    @property
    def host(self) -> str:
        """What the server is called in messages."""

    async def channel(self) -> Channel:
        """See `Pool`."""

    async def commands(self) -> Commands:
        """See `Pool`."""

    def hashing(self, size: int) -> AbstractAsyncContextManager[Channel]:
        """See `Pool`."""


class CheckFile:
    """The request of SFTP for it, tried on known content before it is trusted."""

    def __init__(self, server: DigestSource, *, algorithm: str) -> None:
        self._server = server
        self._algorithm = algorithm

    async def find(self, path: bytes, expected: str) -> str:
        """`NAME`, where the server gives the digest `expected` for the file at `path`.

        Raises NoDigestCommand, ConnectionDropped.
        """
        try:
            value = await check_file(await self._server.channel(), path, self._algorithm)
        except ConnectionDropped:
            raise
        except RemoteError as error:
            raise NoDigestCommand(f"{self._server.host}: SFTP there computes no digests ({error})") from error
        if value != expected:
            raise NoDigestCommand(f"{self._server.host}: the {self._algorithm} that SFTP there computes is wrong")
        return NAME

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """The digest of a file of `size` bytes; raises RemoteError where there is none."""
        if size <= _SHORT:
            return StoredDigest(await check_file(await self._server.channel(), path, self._algorithm, size), NAME)
        async with self._server.hashing(size) as channel:
            return StoredDigest(await check_file(channel, path, self._algorithm), NAME)
