"""The demonstration's server, with faults: `file_faults.py` and `shell_faults.py` hold them, each a small named class.

A fault counts how often it fired; one that was planned and never fired fails the test.
"""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

from anyio import Event

from async_backup.demo.files import DemoFiles, OpenFile
from async_backup.demo.server import demo_server
from async_backup.demo.shell import DemoShell, Printed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import asyncssh

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

    async def before_write(self, file: OpenFile, offset: int) -> None:
        """Before anything is written at `offset`."""

    async def on_setstat(self, files: DemoFiles, path: bytes) -> None:
        """Before the attributes of a file are changed."""

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

    def on_line(self, line: bytes) -> Printed | None:
        """What the shell prints for a line, where it is the fault that says so."""
        del line
        return None

    def on_path(self, path: bytes) -> bytes:
        """The path that the shell sees."""
        return path

    async def before_digest(self) -> None:
        """Before a digest is computed."""

    def on_printed(self, printed: Printed) -> Printed:
        """What a digest command prints of one file."""
        return printed

    async def before_several(self) -> None:
        """Before the digests of several files are computed together."""

    def on_several(self, printed: Printed) -> Printed:
        """What a digest command prints of several files together."""
        return printed


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
            await fault.before_write(cast("OpenFile", file_obj), offset)
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

    async def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        for fault in self._faults:
            await fault.on_setstat(self, path)
        super().setstat(path, attrs)

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

    async def _do(self, what: bytes) -> Printed:
        for fault in self._faults:
            if printed := fault.on_line(what):
                return printed
        return await super()._do(what)

    async def run(self, command: str, path: bytes) -> Printed:
        for fault in self._faults:
            path = fault.on_path(path)
            await fault.before_digest()
        printed = await super().run(command, path)
        for fault in self._faults:
            printed = fault.on_printed(printed)
        return printed

    async def run_for_each(self, command: str, paths: Sequence[bytes]) -> Printed:
        for fault in self._faults:
            await fault.before_several()
        printed = await super().run_for_each(command, paths)
        for fault in self._faults:
            printed = fault.on_several(printed)
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
