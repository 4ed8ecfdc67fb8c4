"""Commands on a server that gives no shell to stay in: each in a session of its own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from anyio import Lock, move_on_after, sleep

from async_backup.errors import ConnectionDropped, NoSession, RemoteError
from async_backup.remote.ssh.shell import OUTPUT_LIMIT, Answer
from async_backup.remote.ssh.translate import translated

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncssh

    from async_backup.remote.ssh.connection import Connection

_NO_STATUS = -1
_PAUSE = 0.1
_GLANCES = 10
"""Tries, with so many seconds between them, before another session has to go, or there is no hope."""


class Commands:
    """Runs commands on one connection, one at a time: a server may open few sessions."""

    def __init__(self, connection: Connection, make_room: Callable[[], bool] = lambda: False) -> None:
        """`make_room` ends another session where the server takes no further one; whether there is hope."""
        self._connection = connection
        self._make_room = make_room
        self._turn = Lock(fast_acquire=True)
        self.load = 0
        """What the commands weigh that have not been answered yet."""

    async def run(self, command: bytes, timeout: float, weight: int = 1) -> Answer:
        """As `Shell.run`, but what the command prints as errors is not in its answer; raises NoSession too."""
        self.load += weight
        try:
            async with self._turn:
                process = await self._started(command)
                try:
                    return await self._answer(process, timeout)
                finally:
                    process.close()
        finally:
            self.load -= weight

    async def _started(self, command: bytes) -> asyncssh.SSHClientProcess[bytes]:
        tries = 0
        while True:
            try:
                return await self._connection.start_command(command)
            except NoSession:
                if tries % _GLANCES == 0 and not self._make_room():
                    raise
            tries += 1
            await sleep(_PAUSE)

    async def _answer(self, process: asyncssh.SSHClientProcess[bytes], timeout: float) -> Answer:
        host = self._connection.host
        with move_on_after(timeout), translated(host, "running a command"):
            with suppress(OSError):  # a command that has ended already
                process.stdin.write_eof()
            output = bytearray()
            while found := await process.stdout.read(OUTPUT_LIMIT):
                output += found
                if len(output) > OUTPUT_LIMIT:
                    raise RemoteError(f"{host}: a command printed too much")
            await process.wait_closed()
            status = process.exit_status
            return Answer(_NO_STATUS if status is None else status, bytes(output))
        raise ConnectionDropped(f"{host}: a command gave no answer for {timeout:g} seconds")
