"""What this machine does alone, in one thread: reading files, compressing, hashing."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from async_backup.archive.gzip import compress_member
from async_backup.benching.results import Compression, Hashing, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backup.benching.budget import TimeLimit

LEVELS = (("igzip", 1), ("igzip", 3), ("zlib-ng", 6))
_BLOCK = 1 << 20
_KEPT = 16 << 20
"""Bytes of files that are kept for compressing; of one file not more than a block."""


class Reader:
    """Reads the regular files below a directory, as long as there is time; nothing of what is read is changed."""

    def __init__(self, root: bytes, *, cold: bool) -> None:
        self._root = root
        self._is_cold = cold and hasattr(os, "posix_fadvise")
        self._blocks: list[bytes] = []
        self._kept = self._files = self._size = 0

    def run(self, limit: TimeLimit) -> Reading:
        busy = time.thread_time()
        for path in _files(self._root):
            if limit.is_over:
                break
            with suppress(OSError):  # whoever backs it up will be told
                self._read(path, limit)
        return Reading(self._files, self._size, limit.seconds, time.thread_time() - busy, self._is_cold)

    def _read(self, path: bytes, limit: TimeLimit) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return
            if self._is_cold:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            block = os.read(descriptor, _BLOCK)
            self._keep(block)
            while block and not limit.is_over:
                self._size += len(block)
                block = os.read(descriptor, _BLOCK)
            self._files += 1
        finally:
            os.close(descriptor)

    def _keep(self, block: bytes) -> None:
        if block and self._kept < _KEPT:
            self._blocks.append(block)
            self._kept += len(block)

    def segments(self, size: int) -> list[bytes]:
        """What was kept, in pieces of `size` bytes."""
        data = b"".join(self._blocks)
        return [data[start : start + size] for start in range(0, len(data), size)]


def _files(directory: bytes) -> Iterator[bytes]:
    waiting = [directory]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path


def compress(segments: Sequence[bytes], library: str, level: int, limit: TimeLimit) -> Compression:
    """Compress as many of the segments as there is time for, but one at least."""
    size = packed = 0
    for segment in segments:
        packed += len(compress_member(segment, level))
        size += len(segment)
        if limit.is_over:
            break
    return Compression(library, level, size, packed, limit.seconds)


def hash_all(segments: Sequence[bytes], algorithm: str, limit: TimeLimit) -> Hashing:
    """Hash the segments, but one at least."""
    digest, size = hashlib.new(algorithm, usedforsecurity=False), 0
    for segment in segments:
        digest.update(segment)
        size += len(segment)
        if limit.is_over:
            break
    return Hashing(algorithm, size, limit.seconds)
