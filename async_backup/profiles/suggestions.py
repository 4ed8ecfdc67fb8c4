"""What may have been meant by a name that is not known."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean NAME?`, or nothing where no known name is near."""
    by_folded = {_folded(candidate): candidate for candidate in known}
    near = get_close_matches(_folded(name), by_folded, n=1)
    return f"did you mean {by_folded[near[0]]}?" if near else ""


def _folded(name: str) -> str:
    return name.replace("_", "-").casefold()
