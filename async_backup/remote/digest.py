"""The ways in which a server may compute the digests of stored files, and the one that works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from async_backup.errors import ConnectionDropped, NoDigestCommand, RemoteError
from async_backup.remote.check_file import CheckFile
from async_backup.remote.digest_command import COMMANDS, DigestCommand
from async_backup.remote.digest_lines import BareLines, ShellLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.remote.base import StoredDigest
    from async_backup.remote.check_file import DigestSource
    from async_backup.remote.pool import Pool

_BARE = 2
"""Of the commands: what is tried without a shell."""


class DigestWay(Protocol):
    """A way to have the server compute digests, of no use before `find` has succeeded."""

    async def find(self, path: bytes, expected: str) -> str:
        """What computes them, if it gives `expected` for the file at `path`; raises NoDigestCommand."""

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """The digest of a file of `size` bytes; raises RemoteError where there is none."""


def ways(pool: Pool, algorithm: str, timeout: float) -> Sequence[DigestWay]:
    """All of them, the best first: a shell that stays, then `ways_without_shell`."""
    known = {"algorithm": algorithm, "host": pool.host}
    in_shell = DigestCommand(pool.shell, ShellLines(), COMMANDS[algorithm], **known, timeout=timeout)
    return in_shell, *ways_without_shell(pool, algorithm, timeout)


def ways_without_shell(server: DigestSource, algorithm: str, timeout: float) -> Sequence[DigestWay]:
    """A request of SFTP, and a session for each command."""
    known = {"algorithm": algorithm, "host": server.host}
    return (
        CheckFile(server, algorithm=algorithm),
        DigestCommand(server.commands, BareLines(), COMMANDS[algorithm][:_BARE], **known, timeout=timeout),
    )


class ServerDigests:
    """Digests that the server computes, in the first way that works."""

    def __init__(self, ways: Sequence[DigestWay]) -> None:
        self._ways = ways
        self._way: DigestWay | None = None

    @property
    def is_in_shell(self) -> bool:
        """Whether shells are of use."""
        return self._way is self._ways[0]

    async def find(self, path: bytes, expected: str) -> str:
        """What gives the digest `expected` for the file at `path`.

        Raises NoDigestCommand of the first way, or ConnectionDropped, after which it may be tried again.
        """
        errors: list[RemoteError] = []
        for way in self._ways:
            try:
                found = await way.find(path, expected)
            except ConnectionDropped:
                raise
            except RemoteError as error:
                errors.append(error)
            else:
                self._way = way
                return found
        raise errors[0]

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """The digest of a file of `size` bytes; raises RemoteError where there is none."""
        if self._way is None:
            raise NoDigestCommand("nothing that computes digests was found on the server")
        return await self._way.digest(path, size)
