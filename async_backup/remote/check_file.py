"""The digest of a stored file, computed by the server's SFTP itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import move_on_after

from async_backup.errors import BackupError, ConnectionDropped, NoDigestCommand, RemoteError, Unreachable
from async_backup.remote.base import StoredDigest
from async_backup.remote.digest_command import SLOWEST
from async_backup.remote.ssh.check_file import check_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backup.remote.ssh.connection import Channel

NAME = "check-file"
"""What is said to have computed the digests: the name of the request."""

_SHORT = 32 << 20
"""Bytes of a file that is asked for between other requests. A server that deals with them one after another, as
ProFTPD does, gives no answer to anything while it hashes."""


class CheckFile:
    """The request of SFTP for it, tried on known content before it is trusted."""

    def __init__(
        self,
        channel: Callable[[], Awaitable[Channel]],
        aside: Callable[[], Awaitable[Channel]],
        *,
        algorithm: str,
        host: str,
        timeout: float,
    ) -> None:
        """`aside` gives a channel on which nobody else waits for an answer."""
        self._channel = channel
        self._aside = aside
        self._algorithm = algorithm
        self._host = host
        self._timeout = timeout

    async def find(self, path: bytes, expected: str) -> str:
        """`NAME`, where the server gives the digest `expected` for the file at `path`; raises NoDigestCommand."""
        try:
            value = await check_file(await self._channel(), path, self._algorithm)
        except RemoteError as error:
            raise NoDigestCommand(f"{self._host}: SFTP there computes no digests ({error})") from error
        if value != expected:
            raise NoDigestCommand(f"{self._host}: the {self._algorithm} that SFTP there computes is wrong")
        return NAME

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """The digest of a file of `size` bytes; raises RemoteError where there is none."""
        if size <= _SHORT:
            return StoredDigest(await check_file(await self._channel(), path, self._algorithm), NAME)
        channel = await self._own_channel()
        with channel.loaded(size):
            limit = self._timeout + channel.load / SLOWEST
            with move_on_after(limit):
                return StoredDigest(await check_file(channel, path, self._algorithm), NAME)
        channel.discard()
        raise ConnectionDropped(f"{self._host}: no digest in {limit:g} seconds")

    async def _own_channel(self) -> Channel:
        try:
            return await self._aside()
        except (RemoteError, Unreachable):
            raise
        except BackupError as error:
            raise NoDigestCommand(str(error)) from error
