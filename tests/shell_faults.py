"""Faults of the shell and of the commands that compute digests."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncssh
from anyio import Event, sleep_forever

from async_backup.demo.shell import Printed
from tests.embedded import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator


class RefuseCommands(Fault):
    """As OpenSSH with `ForceCommand internal-sftp`: a sentence on standard output, exit status 1."""

    async def on_command(self, process: asyncssh.SSHServerProcess[bytes]) -> bool:
        self.hit()
        process.stdout.write(b"This service allows sftp connections only.\n")
        process.exit(1)
        return True


class Babble(Fault):
    """A command prints without end and never answers."""

    def __init__(self, block: bytes = b"\x9b\xff" * 4096) -> None:
        super().__init__()
        self._block = block

    async def on_command(self, process: asyncssh.SSHServerProcess[bytes]) -> bool:
        self.hit()
        try:
            while not process.stdout.is_closing():
                process.stdout.write(self._block)
                await process.stdout.drain()
        except (OSError, asyncssh.Error):
            pass
        return True


class ShellWithoutAnswer(Fault):
    """A shell starts, reads, and says nothing."""

    async def on_command(self, process: asyncssh.SSHServerProcess[bytes]) -> bool:
        self.hit()
        await process.stdin.read()
        process.exit(0)
        return True


class LyingDigest(Fault):
    """The digest command works for the first `honest` files, then gives the digest of other bytes."""

    def __init__(self, honest: int = 1) -> None:
        super().__init__()
        self._honest = honest

    def on_printed(self, printed: Printed) -> Printed:
        if self._honest:
            self._honest -= 1
            return printed
        self.hit()
        return Printed(0, b"0" * 32 + b"  -\n")


class BrokenDigest(Fault):
    """The digest command works for the first `honest` files, then prints `printed`."""

    def __init__(self, printed: Printed, honest: int = 1) -> None:
        super().__init__()
        self._printed = printed
        self._honest = honest

    def on_printed(self, printed: Printed) -> Printed:
        if self._honest:
            self._honest -= 1
            return printed
        self.hit()
        return self._printed


class OneAtATime(Fault):
    """The digest command prints `printed` where it is given several files: nothing that we would understand."""

    def __init__(self, printed: Printed) -> None:
        super().__init__()
        self._printed = printed

    def on_several(self, printed: Printed) -> Printed:
        del printed
        self.hit()
        return self._printed


class DiesOnSeveral(Fault):
    """The shell ends where the digest command is given several files: always, or the n-th time only."""

    def __init__(self, only: int | None = None) -> None:
        super().__init__()
        self._only = only
        self._times = 0

    async def before_several(self) -> None:
        self._times += 1
        if self._only in {None, self._times}:
            self.hit()
            raise EOFError


class HangsOnSeveral(Fault):
    """The digest command never ends where it is given several files."""

    async def before_several(self) -> None:
        self.hit()
        await sleep_forever()


class CountSeveral(Fault):
    """No fault: counts the digest commands that were given several files."""

    def on_several(self, printed: Printed) -> Printed:
        self.hit()
        return printed


class ShellEndsOnce(Fault):
    """The shell ends in the middle of the n-th command."""

    def __init__(self, command: int) -> None:
        super().__init__()
        self._left = command

    def on_printed(self, printed: Printed) -> Printed:
        self._left -= 1
        if self._left == 0:
            self.hit()
            raise EOFError
        return printed


class OtherPaths(Fault):
    """The shell sees another tree than SFTP does, as on a server that puts SFTP into a chroot."""

    def on_path(self, path: bytes) -> bytes:
        self.hit()
        return b"/volume1" + path


class Volumes(Fault):
    """As on a NAS: the shell sees what SFTP calls `/` as `/volume2`, and prints `told` when it is asked for volumes."""

    def __init__(self, told: bytes = b"/volume1\n/volume2\n") -> None:
        super().__init__()
        self._told = told
        self.lines: list[bytes] = []

    def on_line(self, line: bytes) -> Printed | None:
        self.lines.append(line)
        return Printed(0, self._told) if b"/volume[0-9]*" in line else None

    def on_path(self, path: bytes) -> bytes:
        self.hit()
        return path.removeprefix(b"/volume2") if path.startswith(b"/volume2/") else b"/nowhere" + path


class CountShells(Fault):
    """No fault: counts the shells that were started."""

    async def on_command(self, process: asyncssh.SSHServerProcess[bytes]) -> bool:
        self.hit()
        return False


class SlowDigest(Fault):
    """Each digest command waits until `together` of them run, on as many shells."""

    def __init__(self, together: int, honest: int = 1) -> None:
        super().__init__()
        self._together = together
        self._honest = honest
        self._all_here = Event()

    async def before_digest(self) -> None:
        if self._honest:
            self._honest -= 1
            return
        self.hit()
        if self.fired == self._together:
            self._all_here.set()
        await self._all_here.wait()

    @contextmanager
    def installed(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._all_here.set()
