"""What would become of members if they were restored, told by their records and by what stands in their places."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

from async_backup.archive.descent import Descent
from async_backup.archive.member import DIRECTORY
from async_backup.restoring.target import directories_above
from async_backup.unpack.disk import check_above, check_replaceable
from async_backup.unpack.rules import Issue, IssueKind, Refused, check, safe_path

if TYPE_CHECKING:
    from typing import Self

    from async_backup.archive.index import Member
    from async_backup.unpack.rules import UnpackRules


class Prospects:
    """The members of one archive, by the rules of its restore; nothing is written.

    Not foreseen is what only the writing shows: a full disk, attributes that may not be set, a hard link to what does
    not come itself.
    """

    def __init__(self, rules: UnpackRules) -> None:
        self._rules = rules
        self._exit = ExitStack()
        self._descent: Descent | None = None
        self._replaced: set[bytes] = set()
        """Directories that will be where something else is."""

    def __enter__(self) -> Self:
        if os.path.lexists(self._rules.root):
            self._descent = self._exit.enter_context(Descent(self._rules.root))
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def issue_of(self, member: Member) -> Issue | None:
        """Why the member would not come, or None."""
        try:
            path = safe_path(member.path)
            check(member, path, self._rules)
            if self._descent:
                self._check_place(self._descent, path, member)
        except Refused as refused:
            return Issue(member.path, refused.kind, str(refused))
        except OSError as error:
            return Issue(member.path, IssueKind.FAILED, error.strerror or str(error))
        return None

    def _check_place(self, descent: Descent, path: bytes, member: Member) -> None:
        parent, _, name = path.rpartition(b"/")
        try:
            directory = descent.enter(parent)
        except FileNotFoundError:
            return
        except OSError as error:
            if not any(above in self._replaced for above in directories_above(path)):
                check_above(error, self._rules.overwrite)
            return
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            pass
        else:
            if member.type == DIRECTORY and stat.S_ISDIR(status.st_mode):
                return
            check_replaceable(status, member.mtime_ns, self._rules.overwrite)
            if member.type == DIRECTORY:
                self._replaced.add(path)
        if not os.access(b".", os.W_OK | os.X_OK, dir_fd=directory, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
