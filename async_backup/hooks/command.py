"""One command from its start to its end: what it reads, what it writes, and how long it may take."""

from __future__ import annotations

import os
import signal
from asyncio import Protocol, create_subprocess_exec, get_running_loop
from contextlib import asynccontextmanager, suppress
from functools import partial
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from anyio import CancelScope, Event, fail_after, move_on_after

from async_backup.hooks.model import HookError
from async_backup.stopping import done_at_sudden_end

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable, Mapping

    from async_backup.hooks.model import Hook

_KILL_GRACE = 1.0
"""Seconds between the polite signal and the other one."""

_LAST_WORDS = 1.0
"""Seconds in which output still comes once a command has ended; a process it left behind may keep the pipe open."""

_LINE_LIMIT = 4096
_OUTPUT_LIMIT = 64 << 10


async def run_command(
    hook: Hook, *, environment: Mapping[bytes, bytes], content: bytes, say: Callable[[str], None]
) -> None:
    """Run a command to its end, with `content` on its standard input; `say` gets the lines that it writes.

    Raises HookError where it cannot be run, fails, or takes longer than it may. It runs in a session of its own and
    inherits no descriptor but its three; when the time is over, or on cancellation, all its process group is killed.
    """
    output = _Output(say)
    try:
        with fail_after(hook.timeout):
            code = await _ended(hook.command, environment, content, output)
    except TimeoutError:
        raise HookError(f"it did not end within {hook.timeout:g} s and was killed{output.last_line}") from None
    except OSError as error:
        raise HookError(f"{hook.command[0]} cannot be run: {error.strerror or error}") from error
    if code:
        raise HookError(f"{_meaning(code)}{output.last_line}")


async def _ended(command: tuple[str, ...], environment: Mapping[bytes, bytes], content: bytes, output: _Output) -> int:
    with TemporaryFile() as stdin:  # a pipe would have to be written to, by whom does not read perhaps
        stdin.write(content)
        stdin.seek(0)
        async with _heard(output) as sink, _process(command, environment, stdin.fileno(), sink) as process:
            code = await process.wait()
            with move_on_after(_LAST_WORDS):
                await output.is_over.wait()
    return code


@asynccontextmanager
async def _heard(output: _Output) -> AsyncIterator[int]:
    """The writing end of a pipe, which whoever gets it closes; what comes through it is output."""
    reading, writing = os.pipe()
    transport, _ = await get_running_loop().connect_read_pipe(lambda: output, os.fdopen(reading, "rb", 0))
    try:
        yield writing
    finally:
        transport.close()
        output.flush()


@asynccontextmanager
async def _process(
    command: tuple[str, ...], environment: Mapping[bytes, bytes], stdin: int, sink: int
) -> AsyncIterator[Process]:
    try:
        with CancelScope(shield=True):  # nothing may get lost between its start and the line that will kill it
            process = await create_subprocess_exec(
                *command, stdin=stdin, stdout=sink, stderr=sink, env=environment, start_new_session=True
            )
    finally:
        os.close(sink)
    with done_at_sudden_end(partial(_signal, process, signal.SIGKILL)):
        try:
            yield process
        finally:
            if process.returncode is None:
                await _kill(process)


async def _kill(process: Process) -> None:
    with CancelScope(shield=True):
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal(process, number)
            with move_on_after(_KILL_GRACE):
                await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    """To all of its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _meaning(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


class _Output(Protocol):
    """Lines of bounded length, and not too many of them; the last one is kept, since it mostly says what was wrong."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = b""
        self._last = b""
        self._left = _OUTPUT_LIMIT
        self.is_over = Event()

    @property
    def last_line(self) -> str:
        return f": {os.fsdecode(self._last)}" if self._last else ""

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LINE_LIMIT]
        for line in lines:
            self._line(line)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.flush()
        self.is_over.set()

    def flush(self) -> None:
        """Take what has come without an end of line as a line."""
        rest, self._rest = self._rest, b""
        self._line(rest)

    def _line(self, line: bytes) -> None:
        line = line[:_LINE_LIMIT].rstrip()
        if not line:
            return
        self._last = line
        if self._left > 0:
            self._say(os.fsdecode(line))
            self._left -= len(line)
            if self._left <= 0:
                self._say("(what else it writes is not shown)")
