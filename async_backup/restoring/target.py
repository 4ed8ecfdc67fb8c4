"""The directory that is restored into, and what stands there already."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from async_backup.archive.descent import Descent
from async_backup.archive.member import DIRECTORY
from async_backup.errors import RestoreError
from async_backup.unpack.rules import Refused, safe_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from async_backup.archive.index import Member

_NAMED = 3


def prepare(target: Path) -> None:
    """Make the directory if it is missing; raises RestoreError where nothing can be put there."""
    try:
        target.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise RestoreError(f"{target} is not a directory; name one to restore into") from error
    except OSError as error:
        raise RestoreError(f"the directory {target} cannot be made: {error.strerror}") from error
    if not os.access(target, os.W_OK | os.X_OK):
        raise RestoreError(f"the directory {target} may not be written to by this user")


def check_empty(target: Path) -> None:
    """Raise RestoreError where something is there: without an index, nobody knows what it may collide with."""
    if not is_empty(target):
        raise RestoreError(
            f"{target} is not empty, and the archive has no index that tells what would collide; "
            "name an empty directory, or say --overwrite if-newer or --overwrite always"
        )


def is_empty(target: Path) -> bool:
    """Whether nothing is in the directory, or it is not there; raises OSError where it cannot be listed."""
    try:
        with os.scandir(target) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True


def check_free(target: Path, members: Iterable[Member]) -> None:
    """Raise RestoreError, with the first names, where something stands in the place of a member."""
    clashes, count = [], 0
    with Descent(os.fsencode(target)) as descent:
        if not os.listdir(descent.enter(b"")):
            return
        for member in members:
            if _is_taken(descent, member):
                count += 1
                clashes += [os.fsdecode(member.path)] if count <= _NAMED else []
    if clashes:
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        raise RestoreError(
            f"nothing was written, since these exist already in {target}: {', '.join(clashes)}{more}; "
            "restore into another directory, or say --overwrite if-newer or --overwrite always"
        )


def _is_taken(descent: Descent, member: Member) -> bool:
    try:
        parent, _, name = safe_path(member.path).rpartition(b"/")
        status = os.stat(name, dir_fd=descent.enter(parent), follow_symlinks=False)
    except Refused:
        return False  # it is not restored at all
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return False  # what stands in the way of its directory is a clash of that one
    except OSError as error:
        raise RestoreError(f"{os.fsdecode(member.path)} cannot be looked at: {error.strerror}") from error
    return not (member.type == DIRECTORY and stat.S_ISDIR(status.st_mode))
