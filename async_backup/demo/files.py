"""The files of the demonstration's server: SFTP below one directory, with all work on the disk in threads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import asyncssh
from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_FLAGS = {
    asyncssh.FXF_APPEND: os.O_APPEND,
    asyncssh.FXF_CREAT: os.O_CREAT,
    asyncssh.FXF_TRUNC: os.O_TRUNC,
    asyncssh.FXF_EXCL: os.O_EXCL,
}


class OpenFile:
    """An open file or directory of the server, and the path by which the client calls it."""

    def __init__(self, descriptor: int, path: bytes, flags: int) -> None:
        self._descriptor = descriptor
        self.path = path
        self.is_written = bool(flags & asyncssh.FXF_WRITE)

    def fileno(self) -> int:
        return self._descriptor

    def flush(self) -> None:
        """Nothing waits here: asyncssh calls this before it asks for a file's attributes."""


class Spoiler:
    """Flips one bit in the first bytes that each chosen file gets, as a bad disk or cable might."""

    def __init__(self, corrupt: Callable[[bytes], bool]) -> None:
        self._corrupt = corrupt
        self._chosen: set[bytes] = set()

    def look_at_new(self, path: bytes) -> None:
        if self._corrupt(path):
            self._chosen.add(path)

    def passed_on(self, path: bytes, data: bytes) -> bytes:
        """What of `data` reaches the disk."""
        if not data or path not in self._chosen:
            return data
        self._chosen.remove(path)
        return bytes([data[0] ^ 1]) + data[1:]


class DemoFiles(asyncssh.SFTPServer):
    """One SFTP session. What a client calls `/` is `root`; renaming never overwrites."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], root: bytes, spoiler: Spoiler) -> None:
        super().__init__(chan, root)
        self._spoiler = spoiler

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> OpenFile:
        writes, reads = bool(pflags & asyncssh.FXF_WRITE), bool(pflags & asyncssh.FXF_READ)
        flags = os.O_CLOEXEC | (os.O_RDWR if writes and reads else os.O_WRONLY if writes else os.O_RDONLY)
        flags |= sum(ours for theirs, ours in _FLAGS.items() if pflags & theirs)
        mode = 0o666 if attrs.permissions is None else attrs.permissions & 0o777
        descriptor = await to_thread.run_sync(os.open, self.map_path(path), flags, mode)
        if pflags & asyncssh.FXF_CREAT:
            self._spoiler.look_at_new(path)
        return OpenFile(descriptor, path, pflags)

    async def close(self, file_obj: object) -> None:
        await to_thread.run_sync(os.close, _fileno(file_obj))

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        return await to_thread.run_sync(os.pread, _fileno(file_obj), size, offset)

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        data = self._spoiler.passed_on(cast("OpenFile", file_obj).path, data)
        await to_thread.run_sync(_write_all, _fileno(file_obj), data, offset)
        return len(data)

    async def fsync(self, file_obj: object) -> None:
        await to_thread.run_sync(os.fsync, _fileno(file_obj))

    async def lstat(self, path: bytes) -> os.stat_result:
        return await to_thread.run_sync(os.lstat, self.map_path(path))

    async def stat(self, path: bytes) -> os.stat_result:
        return await to_thread.run_sync(os.stat, self.map_path(path))

    async def statvfs(self, path: bytes) -> os.statvfs_result:
        return await to_thread.run_sync(os.statvfs, self.map_path(path))

    async def realpath(self, path: bytes) -> bytes:
        return self.reverse_map_path(await to_thread.run_sync(os.path.realpath, self.map_path(path)))

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        mode = 0o777 if attrs.permissions is None else attrs.permissions & 0o777
        await to_thread.run_sync(os.mkdir, self.map_path(path), mode)

    async def remove(self, path: bytes) -> None:
        await to_thread.run_sync(os.remove, self.map_path(path))

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        await to_thread.run_sync(_rename, self.map_path(oldpath), self.map_path(newpath))

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        for name in await to_thread.run_sync(_listed, self.map_path(path)):
            yield name


def _fileno(file_obj: object) -> int:
    return cast("OpenFile", file_obj).fileno()


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _rename(source: bytes, target: bytes) -> None:
    """As OpenSSH does it: a link fails where the name is taken, also by a dangling symbolic link."""
    if os.path.isdir(source) and not os.path.islink(source):
        os.rename(source, target)
        return
    os.link(source, target, follow_symlinks=False)
    os.unlink(source)


def _listed(path: bytes) -> list[asyncssh.SFTPName]:
    with os.scandir(path) as entries:
        names = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    own = [(name, os.lstat(os.path.join(path, name))) for name in (b".", b"..")]
    return [asyncssh.SFTPName(name, attrs=asyncssh.SFTPAttrs.from_local(status)) for name, status in own + names]
