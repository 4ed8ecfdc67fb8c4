"""Going down a tree by directory descriptors, one name at a time, never through a symbolic link.

A path that is opened as a whole can be led out of the source by whoever swaps one of its directories for a
symbolic link meanwhile; a name that is opened relative to a descriptor cannot. It also knows no limit on the
length of a path.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_QUIETLY = _FILE | getattr(os, "O_NOATIME", 0)
HELD_OPEN = 16
"""Descriptors kept for the way back up; deeper levels are walked to again from the root."""


class Descent:
    """A position below `root`: a path and the descriptors of its last directories."""

    def __init__(self, root: bytes) -> None:
        self._root = os.open(root, _DIRECTORY)
        self._names: list[bytes] = []
        self._descriptors: list[int | None] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._rise_to(0)
        os.close(self._root)

    def enter(self, path: bytes) -> int:
        """The descriptor of the directory `path` below the root (b"" is the root), valid until the next call.

        Raises OSError where a component is missing, is a symbolic link or may not be searched.
        """
        names = path.split(b"/") if path else []
        self._rise_to(_common_length(self._names, names))
        if self._descriptors and self._descriptors[-1] is None:
            self._rise_to(0)
        for name in names[len(self._names) :]:
            self._go_down(name)
        return self._current()

    def _current(self) -> int:
        last = self._descriptors[-1] if self._descriptors else self._root
        if last is None:
            raise RuntimeError("the position has no descriptor")
        return last

    def _go_down(self, name: bytes) -> None:
        descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._current())
        self._names.append(name)
        self._descriptors.append(descriptor)
        if len(self._descriptors) > HELD_OPEN:
            self._close(len(self._descriptors) - HELD_OPEN - 1)

    def _rise_to(self, depth: int) -> None:
        while len(self._names) > depth:
            self._close(len(self._descriptors) - 1)
            self._descriptors.pop()
            self._names.pop()

    def _close(self, level: int) -> None:
        descriptor = self._descriptors[level]
        self._descriptors[level] = None
        if descriptor is not None:
            os.close(descriptor)


def identity_of(descriptor: int) -> tuple[int, int]:
    """Device and inode of what is open."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def open_file(name: bytes, directory: int) -> int:
    """A descriptor for reading `name` in the open `directory`, leaving its access time alone where allowed.

    A FIFO in a file's place does not block it. Raises OSError.
    """
    try:
        return os.open(name, _QUIETLY, dir_fd=directory)
    except PermissionError:  # O_NOATIME is for the owner and root
        return os.open(name, _FILE, dir_fd=directory)


def _common_length(one: list[bytes], other: list[bytes]) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length
