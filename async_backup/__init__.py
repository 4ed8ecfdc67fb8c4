"""Back up many directories to any SSH server: plain .tar.gz archives, verified before they count.

The names below are imported when first used: a packing process needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_backup.backing_up import backup
    from async_backup.config import Destination, Limits, Settings, SshSettings
    from async_backup.errors import BackupError
    from async_backup.model import Report

__all__ = ["BackupError", "Destination", "Limits", "Report", "Settings", "SshSettings", "backup"]

_HOMES = {
    "backup": "async_backup.backing_up",
    "BackupError": "async_backup.errors",
    "Destination": "async_backup.config",
    "Limits": "async_backup.config",
    "Report": "async_backup.model",
    "Settings": "async_backup.config",
    "SshSettings": "async_backup.config",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
