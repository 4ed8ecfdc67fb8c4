"""The fake of a server: files in memory, the same contract, and faults by a script. It passes the contract suite."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from anyio.lowlevel import checkpoint

from async_backup.config import NAME_LIMIT
from async_backup.errors import RemoteError, RemoteExists, RemoteNotFound
from async_backup.remote.base import RemoteEntry, StoredDigest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

ANY = "any"
"""The script for all requests together, in the order in which they come."""


class LostAnswer(NamedTuple):
    """A fault after the deed: the server has done it, and nobody gets to know."""

    error: RemoteError


Fault = RemoteError | LostAnswer | None


class MemoryStore:
    """A `RemoteStore` in memory.

    `faults` are scripts by request ("create", "write", "finish", "digest", "rename", "remove", "make_directory",
    "entries", or ANY): the n-th request raises the n-th error before it does anything, and does
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
            names = [RemoteEntry(os.path.basename(file), self._mtimes[file]) for file in self.files]
            found = [entry for file, entry in zip(self.files, names, strict=True) if _parent(file) == path]
            below = self.directories - {b"/"}
            return found + [RemoteEntry(os.path.basename(name), 0.0) for name in below if _parent(name) == path]

    async def create(self, path: bytes) -> MemoryFile:
        """See `RemoteStore`."""
        async with self.request("create"):
            self._check_new(path)
            self.put(path, b"")
        return MemoryFile(self, path)

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """See `RemoteStore`."""
        del size
        async with self.request("digest"):
            self._check_file(path)
            digest = hashlib.new(self._algorithm, self.files[path], usedforsecurity=False)
            return StoredDigest(digest.hexdigest(), "memory")

    async def rename(self, source: bytes, target: bytes) -> None:
        """See `RemoteStore`."""
        async with self.request("rename"):
            self._check_file(source)
            self._check_new(target)
            self.files[target] = self.files.pop(source)
            self._mtimes[target] = self._mtimes.pop(source)

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

    def _check_file(self, path: bytes) -> None:
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

    async def finish(self) -> None:
        """See `RemoteFile`."""
        async with self._store.request("finish"):
            pass

    async def abandon(self) -> None:
        """See `RemoteFile`."""
        await checkpoint()


def _parent(path: bytes) -> bytes:
    return os.path.dirname(path)
