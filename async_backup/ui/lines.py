"""What all listeners that print lines have in common: how much they say, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET, NORMAL, VERBOSE = -1, 0, 1


class Lines:
    """Prints news through `_out`, details through `_detail`, trouble through `_err`, as far as they are wanted."""

    def __init__(self, out: Callable[[str], None], err: Callable[[str], None], verbosity: int) -> None:
        self._out: Callable[[str], None] = out if verbosity >= NORMAL else _drop
        self._detail: Callable[[str], None] = out if verbosity >= VERBOSE else _drop
        self._err = err


def _drop(line: str) -> None:
    """Say nothing."""
