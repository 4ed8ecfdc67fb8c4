"""Faults of files, channels and connections."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncssh
import pytest
from anyio import Event, sleep, to_thread
from asyncssh.sftp import SFTPServerHandler

from tests import embedded
from tests.embedded import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from async_backup.demo.files import DemoFiles, OpenFile


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
    """The last byte of a file of `least` bytes or more is lost when it is closed, as often as `times`."""

    def __init__(self, times: int = 1, least: int = 1) -> None:
        super().__init__()
        self._times = times
        self._least = least

    async def on_close(self, file: OpenFile) -> None:
        size = os.fstat(file.fileno()).st_size
        if file.is_written and size >= self._least and self.fired < self._times:
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


class AfterBytes(Fault):
    """The base of what fires each time that `after` more bytes have passed all channels, `times` times."""

    def __init__(self, after: int, times: int = 1) -> None:
        super().__init__()
        self._after = after
        self._times = times
        self._passed = 0

    def count(self, files: DemoFiles, data: bytes) -> None:
        """Count bytes that pass; raises OSError where it fires."""
        self._passed += len(data)
        if self._passed >= self._after * (self.fired + 1) and self.fired < self._times:
            self.hit()
            self.fire(files)
            raise OSError(errno.EIO, "gone")

    def fire(self, files: DemoFiles) -> None:
        raise NotImplementedError


class DropsConnection(AfterBytes):
    """The connection ends."""

    def fire(self, files: DemoFiles) -> None:
        files.connection.abort()


class ClosesChannel(AfterBytes):
    """The channel ends; its connection lives on."""

    def fire(self, files: DemoFiles) -> None:
        files.channel.abort()


class _OnWrite(AfterBytes):
    async def on_write(self, files: DemoFiles, offset: int, data: bytes) -> bytes | None:
        del offset
        self.count(files, data)
        return data


class DropConnection(_OnWrite, DropsConnection):
    """The connection ends each time that `after` more bytes have been written."""


class CloseChannel(_OnWrite, ClosesChannel):
    """The channel ends each time that `after` more bytes have been written; its connection lives on."""


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
    """The connection ends at the n-th rename, of which a store's probe is the first: before the deed, or after it."""

    def __init__(self, *, done: bool, rename: int = 2) -> None:
        super().__init__()
        self._done = done
        self._renames_left = rename

    async def on_rename(self, files: DemoFiles) -> None:
        self._renames_left -= 1
        if not self._done and not self._renames_left:
            self.hit()
            files.connection.abort()
            raise OSError(errno.EIO, "gone")

    async def after_rename(self, files: DemoFiles) -> None:
        if self._done and not self._renames_left:
            self.hit()
            files.connection.abort()


class RenamesOtherwise(Fault):
    """A rename is what `rename` makes of it, such as one that replaces what is there, or does nothing."""

    def __init__(self, root: Path, rename: Callable[[bytes, bytes], None]) -> None:
        super().__init__()
        self._root = os.fsencode(root)
        self._rename = rename

    @contextmanager
    def installed(self) -> Iterator[None]:
        async def rename(files: object, source: bytes, target: bytes) -> None:
            del files
            self.hit()
            self._rename(self._root + source, self._root + target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedded._FaultyFiles, "rename", rename)
            yield


class RenameDenied(Fault):
    """Files keep the names that they were made with."""

    async def on_rename(self, files: DemoFiles) -> None:
        del files
        self.hit()
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


class RenameIsSlow(Fault):
    """What comes behind a rename is dealt with before it."""

    async def on_rename(self, files: DemoFiles) -> None:
        del files
        self.hit()
        await sleep(0.2)


class _Silence(Fault):
    """The base of faults that let requests wait until the server ends."""

    def __init__(self) -> None:
        super().__init__()
        self._released = Event()

    @contextmanager
    def installed(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._released.set()


class RenameHangs(_Silence):
    """A rename is done and never answered, from the second on: a store's probe is the first."""

    def __init__(self) -> None:
        super().__init__()
        self._renames = 0

    async def after_rename(self, files: DemoFiles) -> None:
        self._renames += 1
        if self._renames > 1:
            self.hit()
            await self._released.wait()


class Hang(_Silence):
    """Gives no answer any more to requests of files from the n-th on, on every channel or on that one only."""

    def __init__(self, after: int = 0, *, one_channel: bool = False) -> None:
        super().__init__()
        self._after = after
        self._one_channel = one_channel
        self._requests = 0
        self._hung: DemoFiles | None = None

    async def on_request(self, files: DemoFiles) -> None:
        self._requests += 1
        if self._requests <= self._after or (self._one_channel and self._hung not in {None, files}):
            return
        self._hung = files
        self.hit()
        await self._released.wait()


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


class InOrderOnly(Fault):
    """As an object store behind SFTP: a file is written from its beginning to its end, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    async def before_write(self, file: OpenFile, offset: int) -> None:
        self.hit()
        if offset != os.fstat(file.fileno()).st_size:
            self.refused += 1
            raise OSError(errno.ESPIPE, "Illegal seek")


class TruncateOnOpen(Fault):
    """Whoever opens a file for writing begins anew, as with `rclone serve sftp --vfs-cache-mode writes`."""

    async def after_open(self, files: DemoFiles, path: bytes, flags: int) -> None:
        if flags & asyncssh.FXF_WRITE and not flags & asyncssh.FXF_CREAT:
            self.hit()
            await to_thread.run_sync(os.truncate, files.map_path(path), 0)


class OpenToOthers(Fault):
    """New files may be read by everybody, whatever is asked for; with `for_good` that cannot be changed either."""

    def __init__(self, *, for_good: bool = False) -> None:
        super().__init__()
        self._for_good = for_good

    async def after_open(self, files: DemoFiles, path: bytes, flags: int) -> None:
        if flags & asyncssh.FXF_CREAT:
            self.hit()
            await to_thread.run_sync(os.chmod, files.map_path(path), 0o644)

    async def on_setstat(self, files: DemoFiles, path: bytes) -> None:
        del files, path
        if self._for_good:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))


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


class CountWriters(Fault):
    """No fault: notes the channels through which data came."""

    def __init__(self) -> None:
        super().__init__()
        self.channels: set[DemoFiles] = set()

    async def on_write(self, files: DemoFiles, offset: int, data: bytes) -> bytes | None:
        self.hit()
        self.channels.add(files)
        return await super().on_write(files, offset, data)


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
