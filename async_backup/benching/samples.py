"""Trees to back up where there is no source: made in a temporary directory, of the size that fits the time."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from async_backup.benching.model import Sample
from async_backup.errors import NoSpace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from async_backup.benching.budget import TimeLimit

PREFIX = "async-backup-bench-"
LEAST_SIZE = 256 << 10
MOST_SIZE = 1 << 30
_SHARE_OF_FREE_SPACE = 0.25
_FILES_AN_ENTRY = 8
_SMALL_FILE = 8 << 10
SMALL_ENTRY = _FILES_AN_ENTRY * _SMALL_FILE
_LARGE_FILES = 4
_BLOCK = 1 << 20
_WORDS = 4096
"""Of the vocabulary of texts: they shrink to somewhat less than half, as mixed data of servers does."""


class Made(NamedTuple):
    """What was made: how many entries and files, and their bytes."""

    entries: int
    files: int
    size: int


def fitting_size(rate: float, seconds: float) -> int:
    """The size of a sample that a backup of `rate` bytes a second needs `seconds` for, within reason."""
    return int(max(LEAST_SIZE, min(MOST_SIZE, rate * seconds)))


@contextmanager
def temporary_directory() -> Iterator[str]:
    """A local directory that is gone afterwards; raises NoSpace where none can be made."""
    try:
        directory = tempfile.mkdtemp(prefix=PREFIX)
    except OSError as error:
        raise NoSpace(f"no temporary directory can be made here ({error.strerror}); set TMPDIR") from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def room_in(directory: Path) -> int:
    """Bytes that a sample may take there."""
    return int(shutil.disk_usage(directory).free * _SHARE_OF_FREE_SPACE)


def make_sample(root: Path, kind: Sample, size: int, limit: TimeLimit) -> Made:
    """Fill the new directory `root` with about `size` bytes, or fewer where the time is up; raises NoSpace."""
    size = min(size, room_in(root.parent))
    make = _many_small if kind is Sample.MANY_SMALL else _few_large
    try:
        root.mkdir()
        return make(root, _Content(is_text=kind is not Sample.INCOMPRESSIBLE), size, limit)
    except OSError as error:
        raise NoSpace(f"the sample cannot be written to {root.parent} ({error.strerror}); set TMPDIR") from error


class _Content:
    """Bytes of files: texts, or what does not compress. None is like another one."""

    def __init__(self, *, is_text: bool) -> None:
        self._random = random.Random(0)
        self._is_text = is_text
        words = [self._random.randbytes(self._random.randint(2, 6)).hex() for _ in range(_WORDS)]
        self._text = " ".join(self._random.choices(words, k=2 * _BLOCK // 9)).encode()

    def bytes(self, size: int) -> bytes:
        if not self._is_text:
            return os.urandom(size)
        start = self._random.randrange(len(self._text) - size)
        return self._text[start : start + size]


def _many_small(root: Path, content: _Content, size: int, limit: TimeLimit) -> Made:
    entries, written = 0, 0
    while not entries or (written < size and not limit.is_over):
        directory = root / f"entry-{entries:05d}"
        directory.mkdir()
        for number in range(_FILES_AN_ENTRY):
            (directory / f"file-{number:02d}.txt").write_bytes(content.bytes(_SMALL_FILE))
        entries += 1
        written += SMALL_ENTRY
    return Made(entries, entries * _FILES_AN_ENTRY, written)


def _few_large(root: Path, content: _Content, size: int, limit: TimeLimit) -> Made:
    """All files grow together, so that they are alike also where the time is short."""
    files = [(root / f"large-{number}.bin").open("wb") for number in range(_LARGE_FILES)]
    block, written = min(_BLOCK, max(1, size // _LARGE_FILES)), 0
    try:
        while not written or (written < size and not limit.is_over):
            for file in files:
                written += file.write(content.bytes(block))
    finally:
        for file in files:
            file.close()
    return Made(_LARGE_FILES, _LARGE_FILES, written)
