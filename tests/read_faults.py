"""Faults of reading."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncssh

from async_backup.demo.files import DemoFiles
from tests.embedded import Fault
from tests.file_faults import AfterBytes, ClosesChannel, DropsConnection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.demo.files import OpenFile


class _OnRead(Fault):
    """The base of faults that change what a read gives."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        honest = DemoFiles.read

        async def read(files: DemoFiles, file_obj: object, offset: int, size: int) -> bytes:
            return self.passed_on(files, await honest(files, file_obj, offset, size))

        DemoFiles.read = read  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            DemoFiles.read = honest  # type: ignore[method-assign]

    def passed_on(self, files: DemoFiles, data: bytes) -> bytes:
        """What the client gets in place of `data`."""
        raise NotImplementedError


class ShortReads(_OnRead):
    """No read gives more than `most` bytes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def passed_on(self, files: DemoFiles, data: bytes) -> bytes:
        if len(data) <= self._most:
            return data
        self.hit()
        return data[: self._most]


class LongReads(_OnRead):
    """Each read gives a byte more than was asked for."""

    def passed_on(self, files: DemoFiles, data: bytes) -> bytes:
        self.hit()
        return data + b"!"


class CountReaders(_OnRead):
    """No fault: notes the channels through which data went."""

    def __init__(self) -> None:
        super().__init__()
        self.channels: set[DemoFiles] = set()

    def passed_on(self, files: DemoFiles, data: bytes) -> bytes:
        self.hit()
        self.channels.add(files)
        return data


class ReadsFail(_OnRead):
    """The first `times` reads are refused."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self._times = times

    def passed_on(self, files: DemoFiles, data: bytes) -> bytes:
        if self.fired < self._times:
            self.hit()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data


class _Counted(_OnRead, AfterBytes):
    def passed_on(self, files: DemoFiles, data: bytes) -> bytes:
        self.count(files, data)
        return data


class DropWhileReading(_Counted, DropsConnection):
    """The connection ends each time that `after` more bytes have been read."""


class CloseChannelWhileReading(_Counted, ClosesChannel):
    """The channel ends each time that `after` more bytes have been read; its connection lives on."""


class OneReader(Fault):
    """A file that is open cannot be opened again."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[bytes] = set()

    async def on_open(self, files: DemoFiles, path: bytes, flags: int) -> None:
        if not flags & asyncssh.FXF_READ:
            return
        if path in self._open:
            self.hit()
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._open.add(path)

    async def on_close(self, file: OpenFile) -> None:
        self._open.discard(file.path)
