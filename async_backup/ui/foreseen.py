"""What a restore would bring, in lines as `ls` has them, and in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.archive.member import HARD_LINK
from async_backup.text import counted, shown, size
from async_backup.ui.json_lines import json_line
from async_backup.ui.listing import MemberLines, member_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.restoring.foreseen import Foreseen


def foreseen_lines(foreseen: Foreseen) -> Iterator[str]:
    """A line a member, and a last one for all of them."""
    line, members, raw_size = MemberLines(), 0, 0
    for member in foreseen.members():
        members += 1
        raw_size += 0 if member.type == HARD_LINK else member.size
        yield line(member)
    yield (
        f"would restore {counted(members, 'member')} of {shown(foreseen.archive.path)} to {shown(foreseen.target)}: "
        f"{size(raw_size)}, {size(foreseen.to_fetch)} to fetch"
    )


def foreseen_json(foreseen: Foreseen) -> Iterator[str]:
    """An object a member."""
    for member in foreseen.members():
        fields = member_fields(member)
        yield json_line({"event": "would_restore", "archive": foreseen.archive.path, **fields})
