"""A shell on the server that stays: one command at a time, its answer between markers of our own.

Starting a command costs a session and the user's start-up files each time (85 ms measured); a line to a shell
that runs already costs a round trip.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from anyio import Lock, move_on_after

from async_backup.errors import ConnectionDropped, RemoteError
from async_backup.remote.ssh.translate import translated

if TYPE_CHECKING:
    import asyncssh

_OUTPUT_LIMIT = 64 << 10


class Answer(NamedTuple):
    """What a command printed (output and errors together) and its exit status."""

    status: int
    output: bytes


class Shell:
    """A POSIX `sh` behind a session channel."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], host: str) -> None:
        self._process = process
        self._host = host
        self._turn = Lock()
        self.is_usable = True

    @property
    def is_busy(self) -> bool:
        return self._turn.locked()

    async def run(self, command: bytes, timeout: float) -> Answer:
        """Run a one-line command that reads no input; raises ConnectionDropped, also after `timeout` seconds."""
        async with self._turn:
            if not self.is_usable:
                raise ConnectionDropped(f"{self._host}: the shell was closed")
            try:
                with move_on_after(timeout), translated(self._host, "running a command"):
                    return await self._converse(command)
            except BaseException:
                self.close()
                raise
            self.close()
            raise ConnectionDropped(f"{self._host}: a command gave no answer for {timeout:g} seconds")

    async def _converse(self, command: bytes) -> Answer:
        begin, end = (secrets.token_hex(12).encode() for _ in range(2))
        line = b"echo %b; { %b; } 2>&1 </dev/null; s=$?; echo; echo %b $s\n" % (begin, command, end)
        self._process.stdin.write(line)
        await self._read_until(begin)
        output, status = await self._read_until(end)
        return Answer(int(status), output)

    async def _read_until(self, marker: bytes) -> tuple[bytes, bytes]:
        """What stands before the marker, and the rest of its line."""
        lines = bytearray()
        while len(lines) < _OUTPUT_LIMIT:
            line = await self._process.stdout.readline()
            if not line:
                raise ConnectionDropped(f"{self._host}: the shell ended")
            before, found, after = line.partition(marker)
            lines += before
            if found:
                return bytes(lines), after
        raise RemoteError(f"{self._host}: a command printed too much")

    def close(self) -> None:
        """Give the shell up; a command that runs in it ends with its input."""
        self.is_usable = False
        if not self._process.is_closing():
            self._process.stdin.write_eof()
            self._process.close()
