"""The fake of a server: files in memory, the same contract, and faults by a script. It passes the contract suite."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from anyio.lowlevel import checkpoint

from async_backup.config import NAME_LIMIT
from async_backup.errors import RemoteError, RemoteExists, RemoteNotFound, RemoteTruncated
from async_backup.remote.base import RemoteEntry, StoredDigest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from async_backup.remote.base import RemoteReader

ANY = "any"
"""The script for all requests together, in the order in which they come."""


class LostAnswer(NamedTuple):
    """A fault after the deed: the server has done it, and nobody gets to know."""

    error: RemoteError


Fault = RemoteError | LostAnswer | None


class MemoryStore:
    """A `RemoteStore` in memory.

    `faults` are scripts by request ("create", "write", "finish", "open", "read", "digest", "rename", "remove",
    "make_directory", "entries", or ANY): the n-th request raises the n-th error before it does anything, and does
    what it should where there is None or nothing.
    """

    def __init__(self, *, algorithm: str = "md5", faults: Mapping[str, Sequence[Fault]] | None = None) -> None:
        self.host = "memory"
        self.directory = b"/backups"
        self.files: dict[bytes, bytes] = {}
        self.directories = {b"/", self.directory}
        self.requests: list[str] = []
        """The names of all requests so far."""
        self._algorithm = algorithm
        self._mtimes: dict[bytes, float] = {}
        self._faults = {name: list(script) for name, script in (faults or {}).items()}

    @property
    def unused_faults(self) -> int:
        """Faults of the script that have not come to pass."""
        return sum(fault is not None for script in self._faults.values() for fault in script)

    @asynccontextmanager
    async def request(self, name: str) -> AsyncIterator[None]:
        """Suspend once, as every real request does, and raise what the script says."""
        self.requests.append(name)
        await checkpoint()
        faults = [script.pop(0) for script in self._scripts(name) if script]
        for fault in faults:
            if isinstance(fault, RemoteError):
                raise fault
        yield
        for fault in faults:
            if isinstance(fault, LostAnswer):
                raise fault.error

    def _scripts(self, name: str) -> Iterator[list[Fault]]:
        return (self._faults[key] for key in (name, ANY) if key in self._faults)

    def add_faults(self, name: str, script: Sequence[Fault]) -> None:
        """Lengthen the script of a request."""
        self._faults.setdefault(name, []).extend(script)

    def put(self, path: bytes, content: bytes) -> None:
        """Store a file as somebody else would."""
        self.files[path] = content
        self._mtimes[path] = time.time()

    async def make_directory(self, path: bytes) -> None:
        """See `RemoteStore`."""
        async with self.request("make_directory"):
            while path not in self.directories:
                if path in self.files:
                    raise RemoteError(f"{self.host}: {os.fsdecode(path)} is a file")
                self.directories.add(path)
                path = _parent(path)

    async def entries(self, path: bytes) -> Sequence[RemoteEntry]:
        """See `RemoteStore`."""
        async with self.request("entries"):
            self._check_directory(path)
            return list(self._entries(path))

    def _entries(self, path: bytes) -> Iterator[RemoteEntry]:
        for file, content in self.files.items():
            if _parent(file) == path:
                yield RemoteEntry(os.path.basename(file), self._mtimes[file], len(content))
        for directory in self.directories - {b"/"}:
            if _parent(directory) == path:
                yield RemoteEntry(os.path.basename(directory), 0.0, is_directory=True, is_file=False)

    async def create(self, path: bytes) -> MemoryFile:
        """See `RemoteStore`."""
        async with self.request("create"):
            self._check_new(path)
            self.put(path, b"")
        return MemoryFile(self, path)

    async def open(self, path: bytes) -> MemoryReader:
        """See `RemoteStore`."""
        async with self.request("open"):
            if path in self.directories:
                raise RemoteError(f"{self.host}: {os.fsdecode(path)} is not a regular file")
            self.check_file(path)
            return MemoryReader(self, path)

    async def read_ending(self, path: bytes, size: int, length: int) -> bytes:
        """See `RemoteStore`. Counts as "open" and "read"."""
        start = max(0, size - length)
        return await (await self.open(path)).read(start, size - start)

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """See `RemoteStore`."""
        del size
        async with self.request("digest"):
            self.check_file(path)
            digest = hashlib.new(self._algorithm, self.files[path], usedforsecurity=False)
            return StoredDigest(digest.hexdigest(), "memory")

    async def rename(self, source: bytes, target: bytes) -> None:
        """See `RemoteStore`."""
        async with self.request("rename"):
            self.check_file(source)
            self._check_new(target)
            self.files[target] = self.files.pop(source)
            self._mtimes[target] = self._mtimes.pop(source)

    async def link(self, source: bytes, target: bytes) -> None:
        """See `RemoteStore`. What is written to one of the names afterwards is not seen by the other."""
        async with self.request("link"):
            self.check_file(source)
            self._check_new(target)
            self.files[target], self._mtimes[target] = self.files[source], self._mtimes[source]

    async def remove(self, path: bytes) -> None:
        """See `RemoteStore`."""
        async with self.request("remove"):
            if path in self.directories:
                raise RemoteError(f"{self.host}: {os.fsdecode(path)} is a directory")
            self.files.pop(path, None)

    async def sync_directory(self, path: bytes) -> None:
        """See `RemoteStore`."""
        del path
        await checkpoint()
        self.requests.append("sync_directory")

    def _check_new(self, path: bytes) -> None:
        self._check_directory(_parent(path))
        if path in self.files or path in self.directories:
            raise RemoteExists(f"{self.host}: {os.fsdecode(path)} exists already")
        if len(os.path.basename(path)) > NAME_LIMIT:
            raise RemoteError(f"{self.host}: the name is too long")

    def check_file(self, path: bytes) -> None:
        """Raise RemoteNotFound where there is no such file."""
        if path not in self.files:
            raise RemoteNotFound(f"{self.host}: {os.fsdecode(path)}: no such file")

    def _check_directory(self, path: bytes) -> None:
        if path not in self.directories:
            raise RemoteNotFound(f"{self.host}: {os.fsdecode(path)}: no such directory")


class MemoryFile:
    """A `RemoteFile` in memory; writing fails once it has been renamed or removed."""

    def __init__(self, store: MemoryStore, path: bytes) -> None:
        self._store = store
        self._path = path

    async def write(self, offset: int, data: memoryview | bytes) -> None:
        """See `RemoteFile`."""
        async with self._store.request("write"):
            before = self._store.files[self._path].ljust(offset, b"\0")
            self._store.put(self._path, before[:offset] + bytes(data) + before[offset + len(data) :])

    async def copy(self, offset: int, source: RemoteReader, source_offset: int, length: int) -> None:
        """See `RemoteFile`."""
        async with self._store.request("copy"):
            data = await source.read(source_offset, length)
        await self.write(offset, data)

    async def finish(self) -> None:
        """See `RemoteFile`."""
        async with self._store.request("finish"):
            pass

    async def write_whole(self, data: memoryview | bytes) -> None:
        """See `RemoteFile`."""
        await self.write(0, data)
        await self.finish()

    async def abandon(self) -> None:
        """See `RemoteFile`."""
        await checkpoint()


class MemoryReader:
    """A `RemoteReader` in memory; reading fails once the file has been renamed or removed."""

    def __init__(self, store: MemoryStore, path: bytes) -> None:
        self._store = store
        self._path = path
        self.size = len(store.files[path])

    async def read(self, offset: int, length: int) -> bytes:
        """See `RemoteReader`."""
        async with self._store.request("read"):
            self._store.check_file(self._path)
            found = self._store.files[self._path][offset : offset + length]
            if len(found) < length:
                raise RemoteTruncated(f"{self._store.host}: {os.fsdecode(self._path)} ends before {offset + length}")
            return found

    async def read_into(self, offset: int, target: memoryview) -> None:
        """See `RemoteReader`."""
        target[:] = await self.read(offset, len(target))

    async def close(self) -> None:
        """See `RemoteReader`."""
        await checkpoint()


def _parent(path: bytes) -> bytes:
    return os.path.dirname(path)
