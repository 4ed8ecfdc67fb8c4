"""What settings of the right type have to mean: checked while their line is still known."""

from __future__ import annotations

import os
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from async_backup.archive_names import NameParser
from async_backup.config import HASHES, Destination, Limits, check_patterns, parse_size
from async_backup.durations import parse_seconds
from async_backup.errors import SettingsError
from async_backup.hooks.ping import PingUrl
from async_backup.retention import keep_count, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def _limit(name: str, value: Any) -> None:
    Limits(**{name: value})


def _size(name: str, text: object) -> None:
    _limit(name, parse_size(str(text)))


def _level(value: Any) -> None:
    if not 0 <= value <= 9:
        raise SettingsError(f"level is {value}; it must be from 0 to 9")


def _hash(text: object) -> None:
    if text not in HASHES:
        raise SettingsError(f"{text!r} is not a hash; choose {', '.join(HASHES)}")


def _pattern(text: object) -> None:
    check_patterns((str(text),))


def _text(parse: Callable[[str], object]) -> Callable[[object], object]:
    return lambda value: parse(str(value))


_NUMBERS = {
    field.name: partial(_limit, field.name) for field in fields(Limits) if field.name not in {"segment_size", "rate"}
}
_COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")

MEANINGS: Final[Mapping[str, Callable[[object], object]]] = {
    **_NUMBERS,
    **{f"keep-{count}": _text(keep_count) for count in _COUNTS},
    "to": _text(Destination.parse),
    "segment-size": partial(_size, "segment_size"),
    "limit-rate": partial(_size, "rate"),
    "level": _level,
    "hash": _hash,
    "exclude": _pattern,
    "keep-within": _text(parse_duration),
    "lock-wait": _text(parse_seconds),
    "ping": _text(PingUrl.parsed),
    "timestamp-format": _text(lambda text: NameParser((text,))),
}
"""By the names of settings: what raises SettingsError for a value that means nothing."""


def is_there(text: object, file: Path) -> bool:
    """Whether the path, relative to the directory of the configuration `file`, exists."""
    return (file.absolute().parent / os.path.expanduser(str(text))).exists()
