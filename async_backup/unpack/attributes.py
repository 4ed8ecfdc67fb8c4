"""Owner, mode, attributes and times of what was restored, in the order in which none undoes another."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from contextlib import contextmanager, suppress
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
_ACCESS, _DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
_OUR_UID = os.geteuid()
_OUR_GROUPS = {os.getegid(), *os.getgroups()}
_IS_ROOT = _OUR_UID == 0
_SECOND = 1_000_000_000
_SAFE_TIMES = (1 << 31) * _SECOND
"""Nanoseconds since 1970 that every file system holds from 0 up to here."""


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

    def owner(self, member: TarMember, uid: int, gid: int) -> tuple[int, int] | None:
        """Whom to give it to, for chown(2), where it belongs to `uid` and `gid` now; None where it may stay so."""
        wanted_uid, wanted_gid = member.uid, member.gid
        if not self._rules.numeric_owner:
            wanted_uid, wanted_gid = _user_id(member.user, wanted_uid), _group_id(member.group, wanted_gid)
        if _IS_ROOT:
            return None if (wanted_uid, wanted_gid) == (uid, gid) else (wanted_uid, wanted_gid)
        if wanted_uid != uid:
            self._note(member, "owners were not restored: only root may do that")
        if wanted_gid == gid:
            return None
        if wanted_gid in _OUR_GROUPS:
            return -1, wanted_gid
        self._note(member, "groups that we are not in were not restored: only root may do that")
        return None

    def mode(self, member: TarMember) -> int:
        """The permissions that it may have: set-ID bits of files only where they were asked for."""
        if not member.mode & SET_ID or self._rules.same_permissions or member.type == DIRECTORY:
            return member.mode
        self._note(member, "set-user-ID and set-group-ID bits were left out; --same-permissions keeps them")
        return member.mode & ~SET_ID

    def set_on(self, descriptor: int, member: TarMember, owner: tuple[int, int] | None, *, has_acl: bool) -> None:
        """Set everything on an open file or directory; `has_acl` where it may have got an ACL from its directory.

        Attributes come before the mode, which may take away the right to set them, and the mode comes last: until then
        it says that the file is not finished.
        """
        path = b"/proc/self/fd/%d" % descriptor
        if owner is not None:
            with self._noting(member, "owners"):
                os.fchown(descriptor, *owner)
        if member.xattrs:
            self._set_xattrs(path, member, follow=True)
        if has_acl:
            _remove_acls(path)
        self._set_time(descriptor, member)
        mode = self.mode(member)
        if member.acl_access or member.acl_default:
            with self._noting(member, "modes"):
                os.fchmod(descriptor, mode | stat.S_ISVTX)  # it is not finished yet
            self._set_acls(path, member, follow=True)
        with self._noting(member, "modes"):
            os.fchmod(descriptor, mode)

    def _set_time(self, descriptor: int, member: TarMember) -> None:
        try:
            os.utime(descriptor, ns=(member.mtime_ns, member.mtime_ns))
        except (OSError, OverflowError) as error:
            self._fail(member, "modification times", error)
            return
        if not 0 <= member.mtime_ns < _SAFE_TIMES and os.fstat(descriptor).st_mtime_ns // _SECOND != (
            member.mtime_ns // _SECOND
        ):
            self._count(member, IssueKind.ATTRIBUTE, "modification times are beyond what the file system holds")

    def set_at(self, name: bytes, directory: int, member: TarMember, gid: int) -> None:
        """Set everything on what cannot be opened (a symbolic link, a FIFO, a device) and belongs to our user."""
        owner = self.owner(member, _OUR_UID, gid)
        if owner is not None:
            with self._noting(member, "owners"):
                os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
        if member.type != SYMLINK:
            with self._noting(member, "modes"):
                _change_mode(name, directory, self.mode(member))
        path = b"/proc/self/fd/%d/%b" % (directory, name)
        self._set_xattrs(path, member, follow=False)
        if member.acl_access and member.type != SYMLINK:
            self._set_acls(path, member, follow=False)
        with self._noting(member, "modification times"):
            os.utime(name, ns=(member.mtime_ns, member.mtime_ns), dir_fd=directory, follow_symlinks=False)

    def _set_acls(self, path: bytes, member: TarMember, *, follow: bool) -> None:
        for text, name in ((member.acl_access, _ACCESS), (member.acl_default, _DEFAULT)):
            if text and self._rules.xattrs:
                with self._noting(member, "ACLs"):
                    os.setxattr(path, name, acl.from_text(text), follow_symlinks=follow)

    def _set_xattrs(self, path: bytes, member: TarMember, *, follow: bool) -> None:
        for key, value in member.xattrs if self._rules.xattrs else ():
            if key == _CAPABILITY and not self._rules.same_permissions:
                self._note(member, "file capabilities were left out; --same-permissions keeps them")
            elif key.startswith(_FOR_ROOT) and not _IS_ROOT:
                self._note(member, "some extended attributes were not restored: only root may do that")
            elif not (key in {_ACCESS, _DEFAULT} and (member.acl_access or member.acl_default)):
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


def has_default_acl(directory: int) -> bool:
    """Whether what is made in an open directory gets an ACL from it."""
    if not hasattr(os, "getxattr"):
        return False
    try:
        return bool(os.getxattr(directory, _DEFAULT))
    except OSError:
        return False


def _remove_acls(path: bytes) -> None:
    for name in (_ACCESS, _DEFAULT):
        with suppress(OSError):  # it has none
            os.removexattr(path, name)


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
