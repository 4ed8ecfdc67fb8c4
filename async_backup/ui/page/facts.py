"""All that a page tells, collected and bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from async_backup.ui.page.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from async_backup.events import AttemptFailed
    from async_backup.model import Committed
    from async_backup.ui.run_record import RunRecord

ENTRIES_LISTED = 2000
"""Rows of the table of all entries: browsers open a page of that at once, on a phone too."""
ITEMS_LISTED = 100
"""Items of any other list."""

_T = TypeVar("_T")


@dataclass(slots=True)
class FirstOnes(Generic[_T]):
    """The first items of many, and how many there were."""

    items: list[_T] = field(default_factory=list)
    count: int = 0

    @classmethod
    def of(cls, items: Iterable[_T]) -> FirstOnes[_T]:
        found = cls()
        for item in items:
            found.add(item)
        return found

    def add(self, item: _T) -> None:
        self.count += 1
        if len(self.items) < ITEMS_LISTED:
            self.items.append(item)

    @property
    def left_out(self) -> int:
        return self.count - len(self.items)


@dataclass(slots=True)
class Facts:
    """A run, and what a page shows of it beyond the record."""

    record: RunRecord
    profile: str = ""
    settings: object = None
    skipped: FirstOnes[tuple[bytes, str]] = field(default_factory=FirstOnes)
    retried: FirstOnes[AttemptFailed] = field(default_factory=FirstOnes)
    removed: FirstOnes[bytes] = field(default_factory=FirstOnes)
    rates: Rates = field(default_factory=Rates)

    @property
    def has_several_destinations(self) -> bool:
        return len(self.record.destinations) > 1

    def archived(self) -> Iterator[Committed]:
        """Each entry that was committed, once, at however many destinations."""
        seen = set()
        for outcome in self.record.committed():
            if outcome.entry.path not in seen:
                seen.add(outcome.entry.path)
                yield outcome
