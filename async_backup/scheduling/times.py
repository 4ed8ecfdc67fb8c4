"""When a schedule is due, from the words of the command line."""

from __future__ import annotations

import re
from typing import Final

from async_backup.errors import SettingsError
from async_backup.scheduling.model import When

_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_TIME = re.compile(r"(\d{1,2}):(\d{2})", re.ASCII)
_SHORTEST_DAY = 3

HOURLY: Final = When("*-*-* *:00:00", "0 * * * *")


def daily(time: str) -> When:
    """Every day at `02:30`; raises SettingsError."""
    hour, minute = _time(time)
    return When(f"*-*-* {hour:02d}:{minute:02d}:00", f"{minute} {hour} * * *")


def weekly(day: str, time: str) -> When:
    """Every week on `sun` or `sunday` at `03:00`; raises SettingsError."""
    number = _day(day)
    hour, minute = _time(time)
    name = _DAYS[number][:3].title()
    return When(f"{name} *-*-* {hour:02d}:{minute:02d}:00", f"{minute} {hour} * * {number}")


def on_calendar(expression: str) -> When:
    """What systemd understands, on one line; raises SettingsError."""
    expression = expression.strip()
    if not expression or not expression.isprintable():
        raise SettingsError(f"{expression!r} is no calendar expression; write one such as 'Mon..Fri 22:00'")
    return When(expression, None)


def one_of(*, hourly: bool, at: str | None, week: tuple[str, str] | None, calendar: str | None) -> When:
    """The one that was asked for; raises SettingsError for none, and for several."""
    given = [is_given for is_given in (hourly, at is not None, week is not None, calendar is not None) if is_given]
    if len(given) > 1:
        raise SettingsError("give one of --hourly, --daily, --weekly and --on-calendar, not several")
    if at is not None:
        return daily(at)
    if week is not None:
        return weekly(*week)
    if calendar is not None:
        return on_calendar(calendar)
    if hourly:
        return HOURLY
    raise SettingsError("say when it shall run: --daily 02:30, --hourly, --weekly sun 03:00 or --on-calendar EXPR")


def _time(text: str) -> tuple[int, int]:
    match = _TIME.fullmatch(text.strip())
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise SettingsError(
            f"{text!r} is not a time of day; write hours and minutes from 00:00 to 23:59, such as 02:30"
        )
    return int(match[1]), int(match[2])


def _day(text: str) -> int:
    word = text.strip().lower()
    found = [number for number, name in enumerate(_DAYS) if name.startswith(word)]
    if len(word) < _SHORTEST_DAY or not found:
        raise SettingsError(f"{text!r} is not a day of the week; write {', '.join(name[:3] for name in _DAYS)}")
    return found[0]
