"""Where this account keeps what outlives a run: locks, and the sizes of earlier runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platformdirs import user_state_path

if TYPE_CHECKING:
    from pathlib import Path


def state_directory(*, is_made: bool = False) -> Path:
    """The directory; it is made where `is_made` asks for that."""
    return user_state_path("async-backup", ensure_exists=is_made)
