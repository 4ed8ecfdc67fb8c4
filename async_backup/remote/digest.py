"""The digest of a stored file, computed by a command of the server.

The file's name is handed over in octal, so that nothing in it can be taken for shell, and the answer has to be
the digest and nothing else: fail closed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from async_backup.errors import ConnectionDropped, NoDigestCommand, RemoteError
from async_backup.remote.base import StoredDigest

if TYPE_CHECKING:
    from async_backup.remote.pool import Pool
    from async_backup.remote.ssh.shell import Answer

COMMANDS = {
    "md5": ("md5sum", "md5 -q", "openssl dgst -md5 -r", "digest -a md5", "busybox md5sum"),
    "sha1": ("sha1sum", "shasum -a 1", "sha1 -q", "openssl dgst -sha1 -r", "digest -a sha1", "busybox sha1sum"),
    "sha256": ("sha256sum", "shasum -a 256", "sha256 -q", "openssl dgst -sha256 -r", "digest -a sha256"),
    "sha512": ("sha512sum", "shasum -a 512", "sha512 -q", "openssl dgst -sha512 -r", "digest -a sha512"),
}
_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_SLOWEST = 2 << 20
"""Bytes a second that the slowest server hashes: a command may take a file's size by this, and the time limit."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")


def command_line(command: str, path: bytes) -> bytes:
    """One line of POSIX shell that feeds the file to `command`."""
    name = b"".join(bytes([c]) if c in _PLAIN else b"\\0%03o" % c for c in path)
    # The full stop behind the name keeps line breaks at its end, which $(...) would cut off.
    return b"f=$(printf '%%b.' '%b'); LC_ALL=C %b < \"${f%%.}\"" % (name, command.encode())


def parse_digest(answer: Answer, algorithm: str) -> str | None:
    """The digest, if the answer is exactly one: `HEX`, `HEX  -` or `HEX *stdin`; None for anything else."""
    if answer.status != 0:
        return None
    pattern = rb"\s*([0-9a-f]{%d})(?: [ *]?(?:-|stdin))?\s*" % _DIGITS[algorithm]
    match = re.fullmatch(pattern, answer.output)
    return match[1].decode() if match else None


class DigestCommand:
    """The command that this server has for it, tried on known content before it is trusted."""

    def __init__(self, pool: Pool, algorithm: str, timeout: float) -> None:
        self._pool = pool
        self._algorithm = algorithm
        self._timeout = timeout
        self._command: str | None = None

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
        shell = await self._pool.shell()
        answer = await shell.run(command_line(self._command, path), self._timeout + size / _SLOWEST, 1 + size)
        value = parse_digest(answer, self._algorithm)
        if value is None:
            said = answer.output.strip()[:200].decode("utf-8", "backslashreplace")
            raise RemoteError(
                f"{self._pool.host}: {self._command} gave no digest (exit status {answer.status}): {said}"
            )
        return StoredDigest(value, self._command)
