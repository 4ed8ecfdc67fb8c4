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

OUTPUT_LIMIT = 64 << 10


class Answer(NamedTuple):
    """What a command printed (output and errors together) and its exit status."""

    status: int
    output: bytes


class Shell:
    """A POSIX `sh` behind a session channel.

    Commands may overlap: each is sent at once, so that it costs no round trip of its own where others wait for their
    answers, which come in the same order.
    """

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], host: str) -> None:
        self._process = process
        self._host = host
        self._turn = Lock(fast_acquire=True)
        self.load = 0
        """What the commands weigh that have not been answered yet."""
        self.is_usable = True

    async def run(self, command: bytes, timeout: float, weight: int = 1) -> Answer:
        """Run a one-line command that reads no input; raises ConnectionDropped, also after `timeout` seconds.

        They count from the moment when the commands before it were answered. `weight` says how much it has to do.
        """
        self._check_usable()
        begin, end = (secrets.token_hex(12).encode() for _ in range(2))
        self.load += weight
        try:
            self._send(b"echo %b; { %b; } 2>&1 </dev/null; s=$?; echo; echo %b $s\n" % (begin, command, end))
            async with self._turn:
                self._check_usable()
                with move_on_after(timeout), translated(self._host, "running a command"):
                    return await self._answer(begin, end)
            raise ConnectionDropped(f"{self._host}: a command gave no answer for {timeout:g} seconds")
        except BaseException:
            self.close()
            raise
        finally:
            self.load -= weight

    def _check_usable(self) -> None:
        if not self.is_usable:
            raise ConnectionDropped(f"{self._host}: the shell was closed")

    def _send(self, line: bytes) -> None:
        with translated(self._host, "running a command"):
            self._process.stdin.write(line)

    async def _answer(self, begin: bytes, end: bytes) -> Answer:
        await self._read_until(begin)
        output, status = await self._read_until(end)
        return Answer(int(status), output)

    async def _read_until(self, marker: bytes) -> tuple[bytes, bytes]:
        """What stands before the marker, and the rest of its line."""
        lines = bytearray()
        while len(lines) < OUTPUT_LIMIT:
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
