"""Which files belong into an archive: gitignore patterns, cache directories, file systems."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from async_backup.archive.descent import open_file

if TYPE_CHECKING:
    from async_backup.archive.gitignore import Patterns

CACHE_TAG = b"CACHEDIR.TAG"
_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


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
        return compile_patterns(self.patterns).match(os.fsdecode(path), is_directory=is_directory)


@lru_cache(maxsize=4)
def compile_patterns(patterns: tuple[str, ...]) -> Patterns:
    """The patterns ready to match; raises ValueError for one that gitignore does not allow."""
    from async_backup.archive.gitignore import Patterns  # noqa: PLC0415  (4 ms of each process, rarely needed)

    return Patterns(patterns)


def is_cache(directory: int) -> bool:
    """Whether the open `directory` is tagged as a cache (bford.info/cachedir)."""
    with suppress(OSError):
        descriptor = open_file(CACHE_TAG, directory)
        try:
            return os.read(descriptor, len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
        finally:
            os.close(descriptor)
    return False
