"""Durations of the clock, in seconds. (Spans of the calendar, whose `m` is a month, are in `retention`.)"""

from __future__ import annotations

import re

from async_backup.errors import SettingsError

_PARTS = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_SECONDS = (86_400, 3600, 60, 1)


def parse_seconds(text: str) -> int:
    """Seconds from `90s`, `10m`, `2h`, `1d`, several such as `1h30m`, or a bare number; raises SettingsError."""
    text = text.strip()
    if _NUMBER.fullmatch(text) is not None:
        return int(text)
    match = _PARTS.fullmatch(text)
    if match is None or match.lastindex is None:
        raise SettingsError(
            f"{text!r} is not a length of time; write days, hours, minutes and seconds, such as 90s, 10m or 1h30m"
        )
    return sum(int(part or 0) * seconds for part, seconds in zip(match.groups(), _SECONDS, strict=True))
