"""What is wanted of an archive: all of it, some paths, or what patterns pick."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from functools import lru_cache

from async_backup.archive.selection import compile_patterns
from async_backup.errors import NotInArchive

_DIRECTORIES = 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """`paths` and all that is below them, or everything; and of that what patterns of gitignore leave.

    Patterns are matched against paths inside the entry. What is below a directory that matches matches as well. With
    `include` only what matches that is wanted, and what matches `exclude` never is.
    """

    paths: tuple[bytes, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def has_patterns(self) -> bool:
        return bool(self.include or self.exclude)

    def picks(self, path: bytes, entry: bytes, *, is_directory: bool) -> bool:
        """Whether patterns leave the member at `path`, which may have the name of its entry in front."""
        if not self.has_patterns:
            return True
        if is_directory and path == entry:
            return not self.include  # the entry itself, which has no path inside it
        inside = os.fsdecode(path.removeprefix(entry + b"/"))
        is_included = not self.include or _matches(self.include, inside, is_directory=is_directory)
        return is_included and not (self.exclude and _matches(self.exclude, inside, is_directory=is_directory))

    def leaves_nothing(self, where: str) -> NotInArchive:
        """The error where patterns, told as they are given to a shell, pick nothing."""
        told = [f"--include {shlex.quote(pattern)}" for pattern in self.include]
        told += [f"--exclude {shlex.quote(pattern)}" for pattern in self.exclude]
        return NotInArchive(f"nothing in {where} is left by {' '.join(told)}")


def _matches(patterns: tuple[str, ...], path: str, *, is_directory: bool) -> bool:
    """Whether the path matches, or a directory that it is in."""
    parent = os.path.dirname(path)
    return bool(parent and _are_all_below(patterns, parent)) or compile_patterns(patterns).match(
        path, is_directory=is_directory
    )


@lru_cache(maxsize=_DIRECTORIES)
def _are_all_below(patterns: tuple[str, ...], directory: str) -> bool:
    """Whether the directory matches, or one that it is in."""
    names = directory.split("/")
    compiled = compile_patterns(patterns)
    return any(compiled.match("/".join(names[:depth]), is_directory=True) for depth in range(1, len(names) + 1))
