"""What a restore would bring, in lines as `ls` has them, and in JSON; and what it would not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.archive.member import HARD_LINK
from async_backup.restoring.model import IssueFound
from async_backup.text import counted, shown, size
from async_backup.ui.json_lines import json_line
from async_backup.ui.listing import MemberLines, member_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.archive.index import Member
    from async_backup.restoring.foreseen import Foreseen
    from async_backup.restoring.model import RestoreListener


class ForeseenLines:
    """What one archive would bring; `listener` is told of the members that would not come, between the lines.

    Attributes:
        lost: Members that would be missing after the restore.
        kept: Files that would stay as they are, since they are not older.
    """

    def __init__(self, foreseen: Foreseen, listener: RestoreListener) -> None:
        self._foreseen = foreseen
        self._listener = listener
        self.lost = self.kept = 0

    def lines(self) -> Iterator[str]:
        """A line a member, and a last one for all of them."""
        line, members, raw_size = MemberLines(), 0, 0
        for member in self._coming():
            members += 1
            raw_size += 0 if member.type == HARD_LINK else member.size
            yield line(member)
        archive, target = self._foreseen.archive, self._foreseen.rules.root
        yield (
            f"would restore {counted(members, 'member')} of {shown(archive.path)} to {shown(target)}: "
            f"{size(raw_size)}, {size(self._foreseen.to_fetch)} to fetch{self._rest()}"
        )

    def json_lines(self) -> Iterator[str]:
        """An object a member."""
        for member in self._coming():
            archive = self._foreseen.archive.path
            yield json_line({"event": "would_restore", "archive": archive, **member_fields(member)})

    def trouble(self) -> Iterator[str]:
        """No lines, but the listener is told."""
        for _ in self._coming():
            yield from ()

    def _coming(self) -> Iterator[Member]:
        for member, issue in self._foreseen.members():
            if issue is None:
                yield member
                continue
            self.lost += issue.kind.is_loss
            self.kept += not issue.kind.is_loss
            self._listener(IssueFound(issue))

    def _rest(self) -> str:
        rest = f"; {counted(self.kept, 'file')} would be kept" if self.kept else ""
        return rest + (f"; {counted(self.lost, 'member')} would not come back" if self.lost else "")
