"""Which files belong into an archive: gitignore patterns, cache directories, file systems."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from async_backup.archive.descent import open_file

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

CACHE_TAG = b"CACHEDIR.TAG"
_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_NO_NEWLINE = "\0"
"""Stands for a newline in a name: pathspec 1.1 takes `foo\\n` for `foo`, and finds nothing below `a\\nb`."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is left out. `patterns` are gitignore's, matched against paths inside an entry and entries' names."""

    patterns: tuple[str, ...] = ()
    exclude_caches: bool = False
    one_file_system: bool = False

    def excludes(self, path: bytes, *, is_directory: bool) -> bool:
        """Whether the entry `path`, or the file `path` below an entry, is left out by a pattern."""
        if not self.patterns:
            return False
        text = os.fsdecode(path).replace("\n", _NO_NEWLINE) + ("/" if is_directory else "")
        return _compiled(self.patterns).match_file(text)


def compile_patterns(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    """The patterns ready to match; raises ValueError for one that gitignore does not allow."""
    from pathspec import GitIgnoreSpec  # noqa: PLC0415  (half of a packing process's start, rarely needed)

    return GitIgnoreSpec.from_lines(map(_of_what_is_inside, patterns))


def _of_what_is_inside(pattern: str) -> str:
    """`docs/**` as git takes it: all in docs, but not docs itself, which pathspec 1.1 would match as well."""
    stem, slash = (pattern[:-1], "/") if pattern.endswith("/**/") else (pattern, "")
    return f"{stem}/*{slash}" if stem.endswith("/**") else pattern


_compiled = lru_cache(maxsize=4)(compile_patterns)


def is_cache(directory: int) -> bool:
    """Whether the open `directory` is tagged as a cache (bford.info/cachedir)."""
    with suppress(OSError):
        descriptor = open_file(CACHE_TAG, directory)
        try:
            return os.read(descriptor, len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
        finally:
            os.close(descriptor)
    return False
