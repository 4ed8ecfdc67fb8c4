"""Owner, mode, attributes and times of what was restored, in the order in which none undoes another."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from async_backup.archive import acl
from async_backup.archive.member import DIRECTORY, SYMLINK
from async_backup.unpack.rules import Issue, IssueKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.archive.tar import TarMember
    from async_backup.unpack.rules import UnpackRules

SET_ID = 0o6000
"""The set-user-ID and the set-group-ID bit."""

_CAPABILITY = b"security.capability"
_FOR_ROOT = (b"trusted.", b"security.")
_OUR_IDS = os.geteuid(), os.getegid()
_IS_ROOT = _OUR_IDS[0] == 0


class Attributes:
    """Sets metadata, and counts what could not be set."""

    def __init__(self, rules: UnpackRules) -> None:
        self._rules = rules
        self._issues: dict[tuple[IssueKind, str], Issue] = {}

    def take_issues(self) -> list[Issue]:
        """What could not be set since the last call: one issue for each reason, with the first path and a count."""
        issues = list(self._issues.values())
        self._issues.clear()
        return issues

    def owner(self, member: TarMember) -> tuple[int, int] | None:
        """Who should own it; None where it is ours already, or where only root could give it away."""
        if not _IS_ROOT:
            if member.uid != _OUR_IDS[0]:
                self._note(member, "owners were not restored: only root may do that")
            return None
        uid, gid = member.uid, member.gid
        if not self._rules.numeric_owner:
            uid, gid = _user_id(member.user, uid), _group_id(member.group, gid)
        return None if (uid, gid) == _OUR_IDS else (uid, gid)

    def mode(self, member: TarMember) -> int:
        """The permissions that it may have: set-ID bits of files only where they were asked for."""
        if not member.mode & SET_ID or self._rules.same_permissions or member.type == DIRECTORY:
            return member.mode
        self._note(member, "set-user-ID and set-group-ID bits were left out; --same-permissions keeps them")
        return member.mode & ~SET_ID

    def set_on(self, descriptor: int, member: TarMember, mode: int | None, owner: tuple[int, int] | None) -> None:
        """Set everything on an open file or directory; no `mode` where it has the right one."""
        self._set_owner_and_mode(descriptor, member, mode, owner)
        if member.xattrs or member.acl_access or member.acl_default:
            self._set_xattrs(b"/proc/self/fd/%d" % descriptor, member, follow=True)
        try:
            os.utime(descriptor, ns=(member.mtime_ns, member.mtime_ns))
        except (OSError, OverflowError) as error:
            self._fail(member, "modification times", error)

    def _set_owner_and_mode(
        self, descriptor: int, member: TarMember, mode: int | None, owner: tuple[int, int] | None
    ) -> None:
        if owner is not None:
            with self._noting(member, "owners"):
                os.fchown(descriptor, *owner)
        if mode is not None:
            with self._noting(member, "modes"):
                os.fchmod(descriptor, mode)

    def set_at(self, name: bytes, directory: int, member: TarMember) -> None:
        """Set everything on what cannot be opened: a symbolic link, a FIFO, a device."""
        owner = self.owner(member)
        if owner is not None:
            with self._noting(member, "owners"):
                os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
        if member.type != SYMLINK:
            with self._noting(member, "modes"):
                _change_mode(name, directory, self.mode(member))
        if member.xattrs or member.acl_access:
            self._set_xattrs(b"/proc/self/fd/%d/%b" % (directory, name), member, follow=False)
        with self._noting(member, "modification times"):
            os.utime(name, ns=(member.mtime_ns, member.mtime_ns), dir_fd=directory, follow_symlinks=False)

    def _set_xattrs(self, path: bytes, member: TarMember, *, follow: bool) -> None:
        if not self._rules.xattrs:
            return
        for text, name in ((member.acl_access, b"access"), (member.acl_default, b"default")):
            if text and member.type != SYMLINK:
                with self._noting(member, "ACLs"):
                    os.setxattr(path, b"system.posix_acl_" + name, acl.from_text(text), follow_symlinks=follow)
        for key, value in member.xattrs:
            if key == _CAPABILITY and not self._rules.same_permissions:
                self._note(member, "file capabilities were left out; --same-permissions keeps them")
            elif key.startswith(_FOR_ROOT) and not _IS_ROOT:
                self._note(member, "some extended attributes were not restored: only root may do that")
            else:
                with self._noting(member, "extended attributes"):
                    os.setxattr(path, key, value, follow_symlinks=follow)

    @contextmanager
    def _noting(self, member: TarMember, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, OverflowError) as error:
            self._fail(member, what, error)

    def _fail(self, member: TarMember, what: str, error: Exception) -> None:
        reason = str(error)
        if isinstance(error, OSError):
            unsupported = error.errno == errno.EOPNOTSUPP
            reason = "the file system does not support them" if unsupported else error.strerror or reason
        self._count(member, IssueKind.ATTRIBUTE, f"{what} could not be set: {reason}")

    def _note(self, member: TarMember, reason: str) -> None:
        self._count(member, IssueKind.NOTE, reason)

    def _count(self, member: TarMember, kind: IssueKind, reason: str) -> None:
        issue = Issue(member.path, kind, reason)
        self._issues[kind, reason] = issue.again(self._issues.get((kind, reason)))


def _change_mode(name: bytes, directory: int, mode: int) -> None:
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", mode)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=4096)
def _user_id(name: bytes, otherwise: int) -> int:
    try:
        return pwd.getpwnam(os.fsdecode(name)).pw_uid if name else otherwise
    except (KeyError, ValueError):
        return otherwise


@lru_cache(maxsize=4096)
def _group_id(name: bytes, otherwise: int) -> int:
    try:
        return grp.getgrnam(os.fsdecode(name)).gr_gid if name else otherwise
    except (KeyError, ValueError):
        return otherwise
