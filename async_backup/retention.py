"""Which archives of an entry a policy keeps, by the rules of restic's `forget`; it decides and touches nothing."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import MINYEAR, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from async_backup.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

UNLIMITED: Final = -1

_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_DURATION = re.compile(r"(?:(\d{1,6})y)?(?:(\d{1,6})m)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?", re.ASCII)


def keep_count(text: str) -> int:
    """How many to keep, from a whole number, or `unlimited` or `-1` for all; raises SettingsError."""
    text = text.strip()
    if text in {"unlimited", "-1"}:
        return UNLIMITED
    if _COUNT.fullmatch(text) is None:
        raise SettingsError(f"{text!r} is not how many to keep; write a whole number such as 7, or unlimited")
    return int(text)


class Duration(NamedTuple):
    """A span of the calendar, whose months differ in length; one of nothing is false."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def __bool__(self) -> bool:
        return any(self)

    def before(self, moment: datetime) -> datetime:
        """The moment that lies this span before: first years and months, in a shorter month its last day, then the
        rest. It is never before `datetime.min`.
        """
        year, month = divmod(12 * (moment.year - self.years) + moment.month - 1 - self.months, 12)
        if year < MINYEAR:
            return datetime.min
        day = min(moment.day, monthrange(year, month + 1)[1])
        try:
            return moment.replace(year, month + 1, day) - timedelta(days=self.days, hours=self.hours)
        except OverflowError:
            return datetime.min


def parse_duration(text: str) -> Duration:
    """From `2y5m7d3h` or some of these parts in that order; raises SettingsError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or match.lastindex is None:
        raise SettingsError(
            f"{text!r} is not a duration; write years, months, days and hours, such as 30d, 6m or 2y5m7d3h "
            "(a week is 7d)"
        )
    return Duration(*(int(part or 0) for part in match.groups()))


@dataclass(frozen=True, slots=True)
class KeepRules:
    """A policy: an archive stays if any rule keeps it. 0, None and a duration of nothing stand for no rule.

    The numbers are how many archives, hours, days, ISO weeks, months and years, or UNLIMITED. `within` reaches back
    from the latest archive. Raises SettingsError for other negative numbers.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Duration | None = None

    def __post_init__(self) -> None:
        for name, count in self.counts():
            if count < UNLIMITED:
                raise SettingsError(f"keep-{name} is {count}; it must be 0 or more, or {UNLIMITED} for unlimited")
        if self.within is not None and min(self.within) < 0:
            raise SettingsError(f"a duration cannot be negative: {self.within}")

    @property
    def is_empty(self) -> bool:
        """Whether there is no rule at all, so that nothing would be kept."""
        return not self.within and not any(count for _, count in self.counts())

    def counts(self) -> Iterator[tuple[str, int]]:
        """The counting rules: name and number."""
        return ((name, getattr(self, name)) for name in _PERIODS)


_PERIODS: dict[str, Callable[[int, datetime], Hashable]] = {
    "last": lambda position, _: position,
    "hourly": lambda _, when: (when.date(), when.hour),
    "daily": lambda _, when: when.date(),
    "weekly": lambda _, when: when.isocalendar()[:2],
    "monthly": lambda _, when: (when.year, when.month),
    "yearly": lambda _, when: when.year,
}


def decide(times: Sequence[datetime], rules: KeepRules, *, now: datetime | None = None) -> list[tuple[str, ...]]:
    """For each of an entry's times, in any order, the names of the rules that keep it; empty: it may go.

    A counting rule keeps the newest of each of the last N periods that have any. While it has kept less than N it
    keeps the oldest of all too, and its name is then such as `oldest daily`. `within` keeps what is later than its
    start, which itself is out. Among equal times the one given first counts as the newest.

    With `now`, later times, which a wrong clock wrote, are kept as `future` and count for no rule.
    Raises SettingsError for rules that are empty.
    """
    if rules.is_empty:
        raise SettingsError("no rule says what to keep, so every archive would go; give one, such as --keep-daily 7")
    reasons: list[list[str]] = [["future"] if now is not None and when > now else [] for when in times]
    newest_first = sorted(
        (number for number, found in enumerate(reasons) if not found), key=times.__getitem__, reverse=True
    )
    for position, reason in _kept([times[number] for number in newest_first], rules):
        reasons[newest_first[position]].append(reason)
    return [tuple(found) for found in reasons]


def _kept(newest_first: Sequence[datetime], rules: KeepRules) -> Iterator[tuple[int, str]]:
    """Positions that stay, each with a rule that keeps it."""
    for name, count in rules.counts():
        periods = [_PERIODS[name](position, when) for position, when in enumerate(newest_first)]
        for position, is_oldest in _newest_of_periods(periods, count):
            yield position, f"oldest {name}" if is_oldest else name
    if rules.within and newest_first:
        latest = newest_first[0]
        start = rules.within.before(latest)
        yield from (
            (position, "within") for position, when in enumerate(newest_first) if when > start or when == latest
        )


def _newest_of_periods(periods: Sequence[Hashable], count: int) -> Iterator[tuple[int, bool]]:
    """Positions where a period begins, `count` at most, and the last one if there are less; UNLIMITED never ends."""
    previous: Hashable = None
    for position, period in enumerate(periods):
        if count == 0:
            return
        is_oldest = period == previous
        if not is_oldest or position == len(periods) - 1:
            yield position, is_oldest
            count -= 1
        previous = period
