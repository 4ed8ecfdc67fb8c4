"""What a restore would bring, in lines as `ls` has them, and in JSON; and what it would not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.archive.member import HARD_LINK
from async_backup.restoring.model import IssueFound, RestoreStarted
from async_backup.text import counted, shown, size
from async_backup.ui.json_lines import json_line
from async_backup.ui.listing import MemberLines, member_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from async_backup.archive.index import Member
    from async_backup.restoring.foreseen import Foreseen
    from async_backup.restoring.model import RestoreListener
    from async_backup.unpack.rules import Issue


class ForeseenLines:
    """What one archive would bring, looked at once.

    Attributes:
        coming: Members that would be restored.
        lost: Members that would be missing after the restore.
        kept: Members that would stay as they are, since they are not older.
    """

    def __init__(self, foreseen: Foreseen, listener: RestoreListener, is_stopped: Callable[[], bool]) -> None:
        """`listener` is told, between the lines, of what would not come; it ends where `is_stopped` says so."""
        self._foreseen = foreseen
        self._listener = listener
        self._is_stopped = is_stopped
        self.coming = self.lost = self.kept = 0

    def lines(self, *, is_quiet: bool) -> Iterator[str]:
        """A line a member, and a last one for all of them; none if `is_quiet`. Raises DamagedArchive, RestoreError."""
        found, line, raw_size = self._foreseen, MemberLines(), 0
        self._listener(self._begun())
        for member, issue in self._members():
            if issue:
                self._listener(IssueFound(issue))
                continue
            raw_size += 0 if member.type == HARD_LINK else member.size
            if not is_quiet:
                yield line(member)
        if not is_quiet:
            yield (
                f"would restore {counted(self.coming, 'member')} of {shown(found.archive.path)} to "
                f"{shown(found.rules.root)}: {size(raw_size)}, {size(found.to_fetch)} to fetch{self._rest()}"
            )

    def json_lines(self) -> Iterator[str]:
        """An object a member, whether it would come or not. Raises as `lines`."""
        archive = self._foreseen.archive.path
        for member, issue in self._members():
            if issue:
                yield json_line({"event": "issue_found", "archive": archive, "issue": issue})
            else:
                yield json_line({"event": "would_restore", "archive": archive, **member_fields(member)})

    def _begun(self) -> RestoreStarted:
        archive, footer = self._foreseen.archive, self._foreseen.footer
        to_fetch = self._foreseen.to_fetch
        return RestoreStarted(archive.path, archive.size, footer.members, to_fetch, is_incomplete=footer.is_incomplete)

    def _members(self) -> Iterator[tuple[Member, Issue | None]]:
        for member, issue in self._foreseen.members():
            if self._is_stopped():
                return
            self.coming += issue is None
            self.lost += issue is not None and issue.kind.is_loss
            self.kept += issue is not None and not issue.kind.is_loss
            yield member, issue

    def _rest(self) -> str:
        rest = f"; {counted(self.kept, 'member')} would be kept (-v names them)" if self.kept else ""
        return rest + (f"; {counted(self.lost, 'member')} would not come back" if self.lost else "")
