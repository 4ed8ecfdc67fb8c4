"""What may be restored, where, and what is said of the rest."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY, FIFO, SYMLINK

if TYPE_CHECKING:
    from async_backup.archive.index import Member
    from async_backup.archive.tar import TarMember


class Overwrite(StrEnum):
    """What happens to a file that stands where one is to be restored."""

    NEVER = "never"
    IF_NEWER = "if-newer"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class UnpackRules:
    """How members become files below the directory `root`."""

    root: bytes
    overwrite: Overwrite = Overwrite.NEVER
    devices: bool = False
    same_permissions: bool = False
    outside_links: bool = False
    numeric_owner: bool = False
    xattrs: bool = True
    umask: int = 0o022
    """What is taken away from the mode of directories that the archive does not hold."""
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    """What temporary names of this restore end with."""


class IssueKind(StrEnum):
    """Why a member did not come back as it was."""

    REFUSED = "refused"
    """It could do harm: a path or a link that leads out of the directory, a device."""
    IN_THE_WAY = "in-the-way"
    """Something stands in its place that may not be replaced."""
    FAILED = "failed"
    """The system did not let us write it."""
    DAMAGED = "damaged"
    """Its bytes in the archive are not those that were stored."""
    SUSPECT = "suspect"
    """It is there, but nothing vouches for its bytes: the archive is damaged there, or a little later."""
    INCOMPLETE = "incomplete"
    """It is there, but not all of its bytes could be had."""
    ATTRIBUTE = "attribute"
    """It is there, but something of its metadata could not be set."""
    KEPT = "kept"
    """A file that is not older was there already, and stays."""
    NOTE = "note"
    """Left as it is on purpose: the owner where we are not root, a set-user-ID bit."""

    @property
    def is_common(self) -> bool:
        """Whether it is said once for each reason, not once a file."""
        return self in {IssueKind.ATTRIBUTE, IssueKind.NOTE}

    @property
    def is_loss(self) -> bool:
        """Whether something that was asked for is missing."""
        return self not in {IssueKind.NOTE, IssueKind.KEPT}

    @property
    def is_absent(self) -> bool:
        """Whether the member is not there at all, or not as the archive has it."""
        return not self.is_common and self not in {IssueKind.SUSPECT, IssueKind.INCOMPLETE}


class Issue(NamedTuple):
    """A member that needs a word, by its path in the archive: the first of so many `times` the same."""

    path: bytes
    kind: IssueKind
    reason: str
    times: int = 1

    def again(self, known: Issue | None) -> Issue:
        """This one after a known one of the same kind and reason."""
        return known._replace(times=known.times + self.times) if known else self


class Refused(Exception):
    """A member is not restored; the text says why."""

    def __init__(self, reason: str, kind: IssueKind = IssueKind.REFUSED) -> None:
        super().__init__(reason)
        self.kind = kind


def lost_link(target: bytes) -> Refused:
    """What is said of a hard link whose file is not there."""
    return Refused(f"it is a link to {os.fsdecode(target)}, which was not restored", IssueKind.FAILED)


_DEVICES = {CHARACTER: "a character device", BLOCK: "a block device", FIFO: "a FIFO"}


def safe_path(path: bytes) -> bytes:
    """The path below the root, as GNU tar would take it: without slashes in front, empty and `.` components.

    Raises Refused for one that holds `..` or nothing at all.
    """
    if not path.startswith((b"/", b".")) and b"/." not in path and b"//" not in path and b"\0" not in path:
        return path  # as nearly all
    names = [name for name in path.split(b"/") if name not in {b"", b"."}]
    if b".." in names:
        raise Refused("its path holds '..'")
    if b"\0" in path:
        raise Refused("its path holds a NUL")
    return b"/".join(names)


def check(member: TarMember | Member, path: bytes, rules: UnpackRules) -> None:
    """Raise Refused for what could do harm; `path` is the member's safe path."""
    if not path and member.type != DIRECTORY:
        raise Refused("it has no path")
    if member.type in _DEVICES and not rules.devices:
        raise Refused(f"{_DEVICES[member.type]}; --devices restores it")
    if member.type == SYMLINK and not rules.outside_links and _leads_out(path, member.link):
        raise Refused("a symbolic link that leads out of the directory; --outside-links restores it")


def _leads_out(path: bytes, target: bytes) -> bool:
    """Whether following the link may leave the root, whatever other links of this kind stand on the way.

    Up is allowed only at the target's start, and not beyond the root: what follows leads down, through real
    directories or through links of which the same is true.
    """
    names = [name for name in target.split(b"/") if name not in {b"", b"."}]
    up = 0
    while up < len(names) and names[up] == b"..":
        up += 1
    return target.startswith(b"/") or b".." in names[up:] or up > path.count(b"/")
