"""What would become of members if they were restored, told by their records and by what stands in their places."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from async_backup.archive.descent import Descent
from async_backup.archive.member import DIRECTORY, HARD_LINK
from async_backup.unpack.disk import NOTHING_THERE, check_above, check_replaceable, in_the_way, is_file_of
from async_backup.unpack.rules import Issue, IssueKind, Overwrite, Refused, check, lost_link, safe_path

if TYPE_CHECKING:
    from typing import Self

    from async_backup.archive.index import Member
    from async_backup.unpack.rules import UnpackRules


class Prospects:
    """The members of one archive in its order, by the rules of its restore; nothing is written.

    Not foreseen is what only the writing shows: a full disk, owners and attributes that may not be set, flags and
    sticky bits that forbid it, and what other archives put into the same place.
    """

    def __init__(self, rules: UnpackRules) -> None:
        self._rules = rules
        self._exit = ExitStack()
        self._descent: Descent | None = None
        self._absent: set[bytes] = set()
        """Paths of what does not come, which a hard link may lead to."""

    def __enter__(self) -> Self:
        with suppress(FileNotFoundError):
            self._descent = self._exit.enter_context(Descent(self._rules.root))
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def issue_of(self, member: Member) -> Issue | None:
        """Why the member would not come, or None."""
        try:
            path = safe_path(member.path)
            check(member, path, self._rules)
            if member.type == HARD_LINK:
                self._check_link(path, member)
            elif self._descent:
                self._check_place(self._descent, path, member)
        except Refused as refused:
            return self._absence(member, refused.kind, str(refused))
        except OSError as error:
            return self._absence(member, IssueKind.FAILED, error.strerror or str(error))
        return None

    def _absence(self, member: Member, kind: IssueKind, reason: str) -> Issue:
        with suppress(Refused):
            self._absent.add(safe_path(member.path))
        return Issue(member.path, kind, reason)

    def _check_link(self, path: bytes, member: Member) -> None:
        target = safe_path(member.link)
        if not target:
            raise Refused("a hard link to nothing")
        there, old = self._status(path), self._status(target)
        are_one = there is not None and old is not None and os.path.samestat(there, old)
        if target in self._absent:
            is_kept = old is not None and (are_one or is_file_of(old, member.mtime_ns))
            if self._rules.overwrite is not Overwrite.IF_NEWER or not is_kept:
                raise lost_link(target)
        if self._descent and not are_one:
            self._check_place(self._descent, path, member)

    def _status(self, path: bytes) -> os.stat_result | None:
        parent, _, name = path.rpartition(b"/")
        with suppress(OSError):
            return os.stat(name, dir_fd=self._descent.enter(parent), follow_symlinks=False) if self._descent else None
        return None

    def _check_place(self, descent: Descent, path: bytes, member: Member) -> None:
        parent, _, name = path.rpartition(b"/")
        try:
            directory = descent.enter(parent)
        except FileNotFoundError:
            directory = _nearest(descent, parent)
        except OSError as error:
            check_above(error, self._rules.overwrite)
            directory = _nearest(descent, parent)
        else:
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if member.type == DIRECTORY:
                    self._check_directory(descent, path, status)
                    if stat.S_ISDIR(status.st_mode):
                        return
                else:
                    check_replaceable(status, member.mtime_ns, self._rules.overwrite)
        if not os.access(b".", os.W_OK | os.X_OK, dir_fd=directory, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def _check_directory(self, descent: Descent, path: bytes, status: os.stat_result) -> None:
        if not stat.S_ISDIR(status.st_mode):
            if self._rules.overwrite is not Overwrite.ALWAYS:
                raise in_the_way(status)
        elif self._rules.overwrite is not Overwrite.NEVER:
            descent.enter(path)  # to give it the attributes that it has in the archive


def _nearest(descent: Descent, path: bytes) -> int:
    """The descriptor of the last directory that is there, of those on the way to one that is not; raises OSError."""
    while True:
        path = path.rpartition(b"/")[0]
        try:
            return descent.enter(path)
        except OSError as error:
            if not path or error.errno not in NOTHING_THERE:
                raise
