"""Which configuration file is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def find(given: Path | None, usual: Sequence[Path]) -> Path | None:
    """The given file, which has to be there, or the first of the usual ones that is; None where none is."""
    if given is not None:
        if not given.exists():
            raise SettingsError(f"there is no configuration file {given}; `async-backup init` writes one")
        return given
    return next((path for path in usual if _exists(path)), None)


def missing(name: str, usual: Sequence[Path]) -> SettingsError:
    """The error for a profile that is asked for where there is no file at all."""
    looked = " nor ".join(str(path) for path in usual)
    return SettingsError(
        f"there is no configuration file with a profile {name!r}: neither {looked} exists; "
        "`async-backup init` writes one, --config names another"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # its directory may not be searched: reading it says why
        return True
