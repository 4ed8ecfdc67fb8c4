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
    from collections.abc import Iterable, Iterator
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


def check_can_be_made(target: Path) -> None:
    """Raise RestoreError where the directory, which is not there, cannot be made."""
    above = next((parent for parent in target.absolute().parents if os.path.lexists(parent)), target)
    if not above.is_dir():
        raise RestoreError(f"the directory {target} cannot be made: {above} is not a directory")
    if not os.access(above, os.W_OK | os.X_OK):
        raise RestoreError(f"the directory {target} cannot be made: {above} may not be written to by this user")


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
    clashes, count, blocked = list[str](), 0, set[bytes]()
    with Descent(os.fsencode(target)) as descent:
        if not os.listdir(descent.enter(b"")):
            return
        for member in members:
            found = _in_the_way(descent, member)
            if found is None or found in blocked:
                continue
            if found != member.path or member.type == DIRECTORY:
                blocked.add(found)  # all that is below will meet it again
            count += 1
            clashes += [os.fsdecode(found)] if count <= _NAMED else []
    if clashes:
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        raise RestoreError(
            f"nothing was written, since these exist already in {target}: {', '.join(clashes)}{more}; "
            "restore into another directory, or say --overwrite if-newer or --overwrite always"
        )


def _in_the_way(descent: Descent, member: Member) -> bytes | None:
    """What stands in the place of the member, or of a directory that it is in."""
    try:
        path = safe_path(member.path)
        return None if _is_free(descent, path, is_directory=member.type == DIRECTORY) else member.path
    except Refused:
        return None  # it is not restored at all
    except NotADirectoryError:
        return next((above for above in _above(path) if not _is_free(descent, above, is_directory=True)), None)
    except OSError as error:
        raise RestoreError(f"{os.fsdecode(member.path)} cannot be looked at: {error.strerror}") from error


def _is_free(descent: Descent, path: bytes, *, is_directory: bool) -> bool:
    """Whether nothing is there, or a directory where one is wanted; raises OSError."""
    parent, _, name = path.rpartition(b"/")
    try:
        status = os.stat(name, dir_fd=descent.enter(parent), follow_symlinks=False)
    except FileNotFoundError:
        return True
    return is_directory and stat.S_ISDIR(status.st_mode)


def _above(path: bytes) -> Iterator[bytes]:
    """The directories that a path is in, the outermost first."""
    for place, byte in enumerate(path):
        if byte == ord("/"):
            yield path[:place]
