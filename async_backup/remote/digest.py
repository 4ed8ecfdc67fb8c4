"""The digest of a stored file, computed by a command of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.errors import ConnectionDropped, NoDigestCommand, RemoteError
from async_backup.remote.base import StoredDigest
from async_backup.remote.digest_lines import (
    command_line,
    command_line_of_several,
    is_plain,
    parse_digest,
    parse_digests,
)
from async_backup.together import Together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.remote.pool import Pool

COMMANDS = {
    "md5": ("md5sum", "md5 -q", "openssl dgst -md5 -r", "digest -a md5", "busybox md5sum"),
    "sha1": ("sha1sum", "shasum -a 1", "sha1 -q", "openssl dgst -sha1 -r", "digest -a sha1", "busybox sha1sum"),
    "sha256": ("sha256sum", "shasum -a 256", "sha256 -q", "openssl dgst -sha256 -r", "digest -a sha256"),
    "sha512": ("sha512sum", "shasum -a 512", "sha512 -q", "openssl dgst -sha512 -r", "digest -a sha512"),
}
_SLOWEST = 2 << 20
"""Bytes a second that the slowest server hashes: a command may take a file's size by this, and the time limit."""

_SMALL = 256 << 10
"""Bytes of a file whose digest takes hardly more than to start the command: it is asked for together with others."""

_LONGEST = 512
"""Bytes of a path for that: what many of them print stays far below what a shell of ours may answer."""

_PATIENCE = 3
"""Such answers that were not understood before files are asked for one by one from then on."""

_MOST = 64
_PAUSE = 0.02
"""Seconds between two commands for several files; measured with 2,000 small entries: a third of all CPU time less."""


class DigestCommand:
    """The command that this server has for it, tried on known content before it is trusted."""

    def __init__(self, pool: Pool, algorithm: str, timeout: float) -> None:
        self._pool = pool
        self._algorithm = algorithm
        self._timeout = timeout
        self._command: str | None = None
        self._together = Together(self._of_several, pause=_PAUSE, most=_MOST)
        self._patience = _PATIENCE
        """How often an answer about several files may yet not be understood, as where one of them is missing."""

    async def find(self, path: bytes, expected: str) -> str:
        """The command that gives the digest `expected` for the file at `path`; `digest` uses it from now on.

        Raises NoDigestCommand where none does: no shell, no command, or a shell that sees other paths than SFTP.
        """
        shell = await self._pool.shell()
        reply = b""
        for command in COMMANDS[self._algorithm]:
            try:
                answer = await shell.run(command_line(command, path), self._timeout)
            except ConnectionDropped as error:
                told = f"{self._pool.host}: no command can be run there; is the account for SFTP only?"
                raise NoDigestCommand(f"{told} ({error})") from error
            if parse_digest(answer, self._algorithm) == expected:
                self._command = command
                return command
            reply = reply or answer.output
        said = reply.strip()[:200].decode("utf-8", "backslashreplace")
        raise NoDigestCommand(
            f"{self._pool.host}: no command there gives the {self._algorithm} of files that we see over SFTP"
            + (f" (it says: {said})" if said else "")
        )

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """The digest of a file of `size` bytes; raises RemoteError where the answer is none."""
        if self._command is None:
            raise NoDigestCommand(f"{self._pool.host}: no command for {self._algorithm} was found")
        value = await self._together.ask(path) if self._may_be_one_of_several(path, size) else None
        return StoredDigest(value or await self._alone(self._command, path, size), self._command)

    def _may_be_one_of_several(self, path: bytes, size: int) -> bool:
        return self._patience > 0 and size <= _SMALL and len(path) <= _LONGEST and is_plain(path)

    async def _alone(self, command: str, path: bytes, size: int) -> str:
        shell = await self._pool.shell()
        answer = await shell.run(command_line(command, path), self._timeout + size / _SLOWEST, 1 + size)
        value = parse_digest(answer, self._algorithm)
        if value is None:
            said = answer.output.strip()[:200].decode("utf-8", "backslashreplace")
            raise RemoteError(f"{self._pool.host}: {command} gave no digest (exit status {answer.status}): {said}")
        return value

    async def _of_several(self, paths: Sequence[bytes]) -> Sequence[str | None]:
        """The digests of small files; none of them where one has none, or where the answer cannot be understood."""
        nothing = [None] * len(paths)
        if self._command is None or self._patience == 0 or len(paths) == 1:
            return nothing
        shell = await self._pool.shell()
        line, size = command_line_of_several(self._command, paths), len(paths) * _SMALL
        try:
            answer = await shell.run(line, self._timeout + size / _SLOWEST, size)
        except RemoteError:  # a lost connection too: each finds out for itself, and tries again for itself
            self._patience = 0
            return nothing
        values = parse_digests(answer, self._algorithm, paths)
        self._patience -= values is None
        return values or nothing
