"""Faults of a server, each a small named class, on top of the demonstration's server.

A fault counts how often it fired; one that was planned and never fired fails the test.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import asyncssh
from anyio import Event
from asyncssh.sftp import SFTPServerHandler

from async_backup.demo.files import DemoFiles, OpenFile
from async_backup.demo.server import demo_server
from async_backup.demo.shell import DemoShell, Printed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from async_backup.demo.files import Spoiler
    from async_backup.demo.server import DemoServer


class Fault:
    """The base: a server without fault. `fired` counts."""

    def __init__(self) -> None:
        self.fired = 0
        self.has_fired = Event()

    def hit(self) -> None:
        self.fired += 1
        self.has_fired.set()

    def installed(self) -> AbstractContextManager[object]:
        """For as long as the server runs."""
        return ExitStack()

    async def on_open(self, files: DemoFiles, path: bytes, flags: int) -> None:
        """Before a file is opened."""

    async def on_request(self, files: DemoFiles) -> None:
        """Before a file is opened, read, written, flushed or closed."""

    async def on_write(self, files: DemoFiles, offset: int, data: bytes) -> bytes | None:
        """What is written in place of `data`; None for nothing, though it is acknowledged."""
        del files, offset
        return data

    async def on_close(self, file: OpenFile) -> None:
        """Before a file is closed."""

    async def after_open(self, files: DemoFiles, path: bytes, flags: int) -> None:
        """When a file was opened, before the client gets to know."""

    async def on_rename(self, files: DemoFiles) -> None:
        """Before a file is renamed."""

    async def after_rename(self, files: DemoFiles) -> None:
        """When a file was renamed, before the client gets to know."""

    async def on_command(self, process: asyncssh.SSHServerProcess[bytes]) -> bool:
        """When a shell is started; True where the fault has dealt with it."""
        del process
        return False

    def on_path(self, path: bytes) -> bytes:
        """The path that the shell sees."""
        return path

    async def before_digest(self) -> None:
        """Before a digest is computed."""

    def on_printed(self, printed: Printed) -> Printed:
        """What a digest command prints."""
        return printed


class DiskFull(Fault):
    """No space left, once `after` bytes have been written."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    async def on_write(self, files: DemoFiles, offset: int, data: bytes) -> bytes | None:
        del files, offset
        if len(data) > self._left:
            self.hit()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._left -= len(data)
        return data


class OpenFails(Fault):
    """New files cannot be made, for the reason `number` of errno."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    async def on_open(self, files: DemoFiles, path: bytes, flags: int) -> None:
        if flags & asyncssh.FXF_CREAT:
            self.hit()
            raise OSError(self._number, os.strerror(self._number))


class BitFlip(Fault):
    """One bit of the byte at `offset` reaches the disk turned, in the first file that has such a byte."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self._offset = offset

    async def on_write(self, files: DemoFiles, offset: int, data: bytes) -> bytes | None:
        place = self._offset - offset
        if self.fired or not 0 <= place < len(data):
            return data
        self.hit()
        return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


class TruncateOnClose(Fault):
    """The last byte of a file is lost when it is closed, as often as `times`."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self._times = times

    async def on_close(self, file: OpenFile) -> None:
        size = os.fstat(file.fileno()).st_size
        if file.is_written and size and self.fired < self._times:
            self.hit()
            os.ftruncate(file.fileno(), size - 1)


class AcknowledgeWithoutWriting(Fault):
    """Writes at `offset` and beyond are acknowledged and forgotten."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self._offset = offset

    async def on_write(self, files: DemoFiles, offset: int, data: bytes) -> bytes | None:
        if offset < self._offset:
            return data
        self.hit()
        return None


class _AfterBytes(Fault):
    """Fires once, when `after` bytes have been written by all."""

    def __init__(self, after: int, times: int = 1) -> None:
        super().__init__()
        self._after = after
        self._times = times
        self._written = 0

    async def on_write(self, files: DemoFiles, offset: int, data: bytes) -> bytes | None:
        self._written += len(data)
        if self._written >= self._after * (self.fired + 1) and self.fired < self._times:
            self.hit()
            self.fire(files)
            raise OSError(errno.EIO, "gone")
        return data

    def fire(self, files: DemoFiles) -> None:
        raise NotImplementedError


class DropConnection(_AfterBytes):
    """The connection ends each time that `after` more bytes have been written."""

    def fire(self, files: DemoFiles) -> None:
        files.connection.abort()


class CloseChannel(_AfterBytes):
    """The channel ends each time that `after` more bytes have been written; its connection lives on."""

    def fire(self, files: DemoFiles) -> None:
        files.channel.abort()


class CreateAnswerLost(Fault):
    """The connection ends once when the n-th new file has been made, before the client gets to know."""

    def __init__(self, file: int = 1) -> None:
        super().__init__()
        self._left = file

    async def after_open(self, files: DemoFiles, path: bytes, flags: int) -> None:
        self._left -= bool(flags & asyncssh.FXF_CREAT)
        if self._left == 0 and not self.fired:
            self.hit()
            files.connection.abort()


class RenameAnswerLost(Fault):
    """The connection ends once at a rename: before the deed, or after it."""

    def __init__(self, *, done: bool) -> None:
        super().__init__()
        self._done = done

    async def on_rename(self, files: DemoFiles) -> None:
        if not self._done and not self.fired:
            self.hit()
            files.connection.abort()
            raise OSError(errno.EIO, "gone")

    async def after_rename(self, files: DemoFiles) -> None:
        if self._done and not self.fired:
            self.hit()
            files.connection.abort()


class RenameHangs(Fault):
    """A rename is done and never answered."""

    def __init__(self) -> None:
        super().__init__()
        self._released = Event()

    async def after_rename(self, files: DemoFiles) -> None:
        self.hit()
        await self._released.wait()

    @contextmanager
    def installed(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._released.set()


class Hang(Fault):
    """Gives no answer any more to requests of files from the n-th on, on every channel or on that one only."""

    def __init__(self, after: int = 0, *, one_channel: bool = False) -> None:
        super().__init__()
        self._after = after
        self._one_channel = one_channel
        self._requests = 0
        self._released = Event()
        self._hung: DemoFiles | None = None

    async def on_request(self, files: DemoFiles) -> None:
        self._requests += 1
        if self._requests <= self._after or (self._one_channel and self._hung not in {None, files}):
            return
        self._hung = files
        self.hit()
        await self._released.wait()

    @contextmanager
    def installed(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._released.set()


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


class NoLimits(Fault):
    """An old server: it has none of OpenSSH's extensions, and takes 34,000 bytes in a packet, not more."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        known = SFTPServerHandler._extensions
        SFTPServerHandler._extensions = []
        try:
            yield
        finally:
            SFTPServerHandler._extensions = known

    async def on_write(self, files: DemoFiles, offset: int, data: bytes) -> bytes | None:
        self.hit()
        if len(data) > 34_000:
            files.connection.abort()
        return data


class CountHandles(Fault):
    """No fault: counts the files that are open on the server."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0

    async def after_open(self, files: DemoFiles, path: bytes, flags: int) -> None:
        self.hit()
        self.open += 1

    async def on_close(self, file: OpenFile) -> None:
        self.open -= 1


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


class OneWriter(Fault):
    """A file that is open for writing cannot be opened again, as on servers with mandatory locks."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[bytes] = set()

    async def on_open(self, files: DemoFiles, path: bytes, flags: int) -> None:
        if not flags & asyncssh.FXF_WRITE:
            return
        if path in self._open:
            self.hit()
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._open.add(path)

    async def on_close(self, file: OpenFile) -> None:
        self._open.discard(file.path)


class _FaultyFiles(DemoFiles):
    def __init__(
        self, faults: Sequence[Fault], chan: asyncssh.SSHServerChannel[bytes], root: bytes, spoiler: Spoiler
    ) -> None:
        super().__init__(chan, root, spoiler)
        self._faults = faults

    async def _request(self) -> None:
        for fault in self._faults:
            await fault.on_request(self)

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> OpenFile:
        await self._request()
        for fault in self._faults:
            await fault.on_open(self, path, pflags)
        opened = await super().open(path, pflags, attrs)
        for fault in self._faults:
            await fault.after_open(self, path, pflags)
        return opened

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        await self._request()
        return await super().read(file_obj, offset, size)

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        await self._request()
        wanted = len(data)
        for fault in self._faults:
            changed = await fault.on_write(self, offset, data)
            if changed is None:
                return wanted
            data = changed
        return await super().write(file_obj, offset, data)

    async def fsync(self, file_obj: object) -> None:
        await self._request()
        await super().fsync(file_obj)

    async def close(self, file_obj: object) -> None:
        await self._request()
        for fault in self._faults:
            await fault.on_close(cast("OpenFile", file_obj))
        await super().close(file_obj)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        for fault in self._faults:
            await fault.on_rename(self)
        await super().rename(oldpath, newpath)
        for fault in self._faults:
            await fault.after_rename(self)


class _FaultyShell(DemoShell):
    def __init__(self, faults: Sequence[Fault], map_path: Callable[[bytes], bytes]) -> None:
        super().__init__(map_path)
        self._faults = faults

    async def serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        for fault in self._faults:
            if await fault.on_command(process):
                return
        try:
            await super().serve(process)
        except EOFError:
            process.exit(1)

    async def run(self, command: str, path: bytes) -> Printed:
        for fault in self._faults:
            path = fault.on_path(path)
            await fault.before_digest()
        printed = await super().run(command, path)
        for fault in self._faults:
            printed = fault.on_printed(printed)
        return printed


@asynccontextmanager
async def embedded_server(base: Path, *faults: Fault) -> AsyncIterator[DemoServer]:
    """A server with `faults` whose clients see `base`/root as `/`; fails where a fault did not fire."""
    root, keys = base / "root", base / "keys"
    root.mkdir(parents=True)
    keys.mkdir()
    files, shell = partial(_FaultyFiles, faults), partial(_FaultyShell, faults)
    async with demo_server(root, keys, files=files, shell=shell) as server:
        with ExitStack() as installed:
            for fault in faults:
                installed.enter_context(fault.installed())
            yield server
    unused = [type(fault).__name__ for fault in faults if not fault.fired]
    if unused:
        raise AssertionError(f"planned faults never fired: {', '.join(unused)}")
