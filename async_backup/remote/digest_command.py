"""The digest of a stored file, computed by a command of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from async_backup.errors import ConnectionDropped, NoDigestCommand, RemoteError
from async_backup.remote.base import StoredDigest
from async_backup.remote.digest_lines import is_plain
from async_backup.remote.pool import SLOWEST_HASHING
from async_backup.together import Together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backup.remote.digest_lines import Lines
    from async_backup.remote.ssh.shell import Answer

COMMANDS = {
    "md5": ("md5sum", "md5 -q", "openssl dgst -md5 -r", "digest -a md5", "busybox md5sum"),
    "sha1": ("sha1sum", "sha1 -q", "shasum -a 1", "openssl dgst -sha1 -r", "digest -a sha1", "busybox sha1sum"),
    "sha256": ("sha256sum", "sha256 -q", "shasum -a 256", "openssl dgst -sha256 -r", "digest -a sha256"),
    "sha512": ("sha512sum", "sha512 -q", "shasum -a 512", "openssl dgst -sha512 -r", "digest -a sha512"),
}
"""Those of GNU and of BSD come first: servers that let nobody have a shell offer them, if any."""

_SMALL = 256 << 10
"""Bytes of a file whose digest takes hardly more than to start the command: it is asked for together with others."""

_LONGEST = 512
"""Bytes of a path for that: what many of them print stays far below what a shell of ours may answer."""

_PATIENCE = 3
"""Such answers in a row that were of no use before files are asked for one by one for good."""

_MOST = 64
_PAUSE = 0.02
"""Seconds between two commands for several files; measured with 2,000 small entries: a third of all CPU time less."""


class Runner(Protocol):
    """What runs a command line on the server: a shell that stays, or a session for each."""

    async def run(self, command: bytes, timeout: float, weight: int = 1) -> Answer:
        """What it answers; raises RemoteError where there is no answer. `weight` says how much it has to do."""


class DigestCommand:
    """The command that this server has for it, tried on known content before it is trusted."""

    def __init__(
        self,
        runner: Callable[[], Awaitable[Runner]],
        lines: Lines,
        commands: Sequence[str],
        *,
        algorithm: str,
        host: str,
        timeout: float,
    ) -> None:
        """Of the `commands` that are tried in turn one is found; `runner` gives what runs it, and may raise."""
        self._runner = runner
        self._lines = lines
        self._commands = commands
        self._algorithm = algorithm
        self._host = host
        self._timeout = timeout
        self._command: str | None = None
        self._together = Together(self._of_several, pause=_PAUSE, most=_MOST)
        self._patience = _PATIENCE
        """How many answers about several files may yet be of no use, as where one of them is missing."""
        self._has_answered = False
        """Whether there was one that was: no answer at all is no fault of the server's then."""

    async def find(self, path: bytes, expected: str) -> str:
        """The command that gives the digest `expected` for the file at `path`; `digest` uses it from now on.

        Raises NoDigestCommand where none does: nothing runs it, there is no command, or it sees other paths than SFTP.
        """
        said: list[bytes] = []
        try:
            self._command = await self._find(path, expected, said) if self._lines.takes(path) else None
        except ConnectionDropped as error:
            told = f"{self._host}: no command can be run there; is the account for SFTP only?"
            raise NoDigestCommand(f"{told} ({error})") from error
        if self._command is not None:
            return self._command
        first = next(filter(None, map(bytes.strip, said)), b"")[:200].decode("utf-8", "backslashreplace")
        raise NoDigestCommand(
            f"{self._host}: no command there gives the {self._algorithm} of files that we see over SFTP"
            + (f" (it says: {first})" if first else "")
        )

    async def _find(self, path: bytes, expected: str, said: list[bytes]) -> str | None:
        """The command, where there is one, also for files that are elsewhere; notes what the others say."""
        runner = await self._runner()
        command = await self._first(runner, self._lines, path, expected, said)
        if command is None and (line := self._lines.search(path)):
            for lines in self._lines.elsewhere(await runner.run(line, self._timeout)):
                if command := await self._first(runner, lines, path, expected, said):
                    self._lines = lines
                    break
        return command

    async def _first(self, runner: Runner, lines: Lines, path: bytes, expected: str, said: list[bytes]) -> str | None:
        for command in self._commands:
            answer = await runner.run(lines.one(command, path), self._timeout)
            if lines.digest(answer, self._algorithm, path) == expected:
                return command
            said.append(answer.output)
        return None

    @property
    def root(self) -> str:
        """What the server's commands have in front of the paths of SFTP."""
        return str(self._lines)

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """The digest of a file of `size` bytes; raises RemoteError where the answer is none."""
        if self._command is None or not self._lines.takes(path):
            raise NoDigestCommand(f"{self._host}: there is no command for the {self._algorithm} of such a file")
        value = await self._together.ask(path) if self._may_be_one_of_several(path, size) else None
        return StoredDigest(value or await self._alone(self._command, path, size), self._command)

    def _may_be_one_of_several(self, path: bytes, size: int) -> bool:
        return self._patience > 0 and size <= _SMALL and len(path) <= _LONGEST and is_plain(path)

    async def _alone(self, command: str, path: bytes, size: int) -> str:
        runner = await self._runner()
        answer = await runner.run(self._lines.one(command, path), self._timeout + size / SLOWEST_HASHING, 1 + size)
        value = self._lines.digest(answer, self._algorithm, path)
        if value is None:
            said = answer.output.strip()[:200].decode("utf-8", "backslashreplace")
            raise RemoteError(f"{self._host}: {command} gave no digest (exit status {answer.status}): {said}")
        return value

    async def _of_several(self, paths: Sequence[bytes]) -> Sequence[str | None]:
        """The digests of small files; none of them where one has none, or where the answer cannot be understood."""
        nothing = [None] * len(paths)
        if self._command is None or self._patience == 0 or len(paths) == 1:
            return nothing
        line, size = self._lines.several(self._command, paths), len(paths) * _SMALL
        try:
            answer = await (await self._runner()).run(line, self._timeout + size / SLOWEST_HASHING, size)
        except RemoteError:  # a lost connection too: each finds out for itself, and tries again for itself
            self._patience = self._patience - 1 if self._has_answered else 0
            return nothing
        values = self._lines.digests(answer, self._algorithm, paths)
        if values:
            self._has_answered = True
        self._patience = _PATIENCE if values else self._patience - 1
        return values or nothing
