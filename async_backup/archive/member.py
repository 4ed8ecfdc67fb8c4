"""What is known of one tar member before it is packed: a picklable value made from `stat`."""

from __future__ import annotations

import errno
import stat
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os

REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
"""Type flags of ustar (POSIX.1-2001, pax, "ustar Interchange Format")."""

_TYPES = {
    stat.S_IFREG: REGULAR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFIFO: FIFO,
}


class Meta(NamedTuple):
    """The metadata of a file, as one `stat` call saw it; times in nanoseconds, sizes in bytes."""

    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int
    rdev: int

    @property
    def identity(self) -> tuple[int, int]:
        return self.device, self.inode


def meta_of(status: os.stat_result) -> Meta | None:
    """The metadata in `status`; None for what tar has no type for (a socket)."""
    kind = _TYPES.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    return Meta(
        kind,
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_size if kind == REGULAR else 0,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_dev,
        status.st_ino,
        status.st_rdev,
    )


class ProblemKind(StrEnum):
    """Why a file is not in its archive as it was on the disk."""

    UNREADABLE = "unreadable"
    VANISHED = "vanished"
    CHANGED = "changed"
    CUT = "cut"
    REPLACED = "replaced"
    XATTRS = "xattrs"
    SKIPPED = "skipped"
    CHECKSUM_FILE = "checksum-file"

    @property
    def is_loss(self) -> bool:
        """Whether something that was asked for is missing; a socket, say, is left out by design."""
        return self is not ProblemKind.SKIPPED


class Problem(NamedTuple):
    """One file that needs a word, with its path from the source directory."""

    path: bytes
    kind: ProblemKind
    reason: str

    def is_loss(self, *, ignores_changes: bool) -> bool:
        """Whether something is missing; a file that changed while it was read may not count."""
        return self.kind.is_loss and not (ignores_changes and self.kind is ProblemKind.CHANGED)


class Replaced(OSError):
    """Another file stands where the plan saw one."""


_REPLACED_ERRNOS = {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}
"""What opening says of a symbolic link in anything's place, a file in a directory's, a socket in a file's."""


def explain(error: OSError) -> tuple[ProblemKind, str]:
    """What an error of reading the source means for the archive, and a word for it."""
    if isinstance(error, Replaced) or error.errno in _REPLACED_ERRNOS:
        return ProblemKind.REPLACED, "another file took its place while it was read"
    kind = ProblemKind.VANISHED if isinstance(error, FileNotFoundError) else ProblemKind.UNREADABLE
    return kind, error.strerror or str(error)
