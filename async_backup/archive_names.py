"""Names of archives, `ENTRY-TIME.tar.gz`: which entry and what time they tell, and how a person names one.

They are read from the end, because an entry's name may hold anything, dashes and what looks like a time included.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from async_backup.config import DEFAULT_TIMESTAMP
from async_backup.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

SUFFIX: Final = b".tar.gz"
CLASSIC: Final = "%d-%m-%Y-%H:%M:%S"
USUAL_FORMATS: Final = (DEFAULT_TIMESTAMP, CLASSIC)

_LAST_YEAR_OF_2000S = 68
"""`%y` stands for 1969 to 2068 (POSIX, strptime)."""


class ArchiveName(NamedTuple):
    """What the name of an archive tells; `when` is naive, the local time of the machine that made it."""

    entry: bytes
    when: datetime


class NameParser:
    """Reads names of archives with times in any of some strftime formats.

    Where two formats fit a name, the one with the longer text is right: all of its names end in what fits the shorter
    one too, but hardly any entry of the shorter one happens to end in the rest of the longer. Among formats of one
    length the first given wins.

    Raises SettingsError for a format whose times cannot be read back.
    """

    def __init__(self, formats: Sequence[str] = USUAL_FORMATS) -> None:
        self._formats = sorted(map(_Format.compile, formats), key=lambda known: known.width, reverse=True)

    def parse(self, name: bytes) -> ArchiveName | None:
        """Entry and time, of which strftime makes the same name again; None for what is no archive's name."""
        if not name.endswith(SUFFIX) or b"/" in name:
            return None
        stem = name.removesuffix(SUFFIX)
        for known in self._formats:
            start, stamp = stem[: -known.width], stem[-known.width :]
            if len(start) > 1 and start.endswith(b"-") and (when := known.read(stamp)) is not None:
                return ArchiveName(start[:-1], when)
        return None


class _Field(NamedTuple):
    """A directive: what its text looks like, that text's length, and which value of a time it stands for."""

    pattern: bytes
    width: int
    value: Callable[[datetime], int]


_FIELDS = {
    # strftime pads no year below 1000
    "Y": _Field(rb"[1-9]\d{3}", 4, lambda when: when.year),
    "y": _Field(rb"\d\d", 2, lambda when: when.year % 100),
    "m": _Field(rb"\d\d", 2, lambda when: when.month),
    "d": _Field(rb"\d\d", 2, lambda when: when.day),
    "j": _Field(rb"\d{3}", 3, lambda when: when.timetuple().tm_yday),
    "H": _Field(rb"\d\d", 2, lambda when: when.hour),
    "M": _Field(rb"\d\d", 2, lambda when: when.minute),
    "S": _Field(rb"\d\d", 2, lambda when: when.second),
    "f": _Field(rb"\d{6}", 6, lambda when: when.microsecond),
    # ten digits are 2001 to 2286: `photos-2019.tar.gz` is not an archive of 1970
    "s": _Field(rb"[1-9]\d{9}", 10, lambda when: int(when.timestamp())),
}
_COMPOUNDS = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}
_ALLOWED = "%Y %y %m %d %j %H %M %S %f %F %T %R %% or %s alone"
_NEEDS = {"M": "H", "S": "M", "f": "S"}


@dataclass(frozen=True, slots=True)
class _Format:
    """A strftime format that can be read back; all its texts have the same `width` in bytes."""

    pattern: re.Pattern[bytes]
    width: int

    @classmethod
    def compile(cls, text: str) -> Self:
        expanded = re.sub("%(.?)", lambda match: _COMPOUNDS.get(match[1], match[0]), text, flags=re.DOTALL)
        literal, *rest = re.split("%(.?)", expanded, flags=re.DOTALL)
        _check(text, literals=[literal, *rest[1::2]], letters=frozenset(rest[::2]) - {"%"})
        pattern, width = re.escape(os.fsencode(literal)), len(os.fsencode(literal))
        seen = set()
        for letter, after in zip(rest[::2], rest[1::2], strict=True):
            piece, length = _piece(letter, is_repeated=letter in seen)
            seen.add(letter)
            pattern += piece + re.escape(os.fsencode(after))
            width += length + len(os.fsencode(after))
        return cls(re.compile(pattern), width)

    def read(self, stamp: bytes) -> datetime | None:
        match = self.pattern.fullmatch(stamp)
        if match is None:
            return None
        fields = {letter: int(digits) for letter, digits in match.groupdict().items()}
        with suppress(ValueError, OverflowError):
            when = _moment(fields)
            if all(_FIELDS[letter].value(when) == value for letter, value in fields.items()):
                return when
        return None


def _piece(letter: str, *, is_repeated: bool) -> tuple[bytes, int]:
    """The pattern of a directive, and the length of what it fits."""
    if letter == "%":
        return b"%", 1
    name, field = letter.encode(), _FIELDS[letter]
    return (b"(?P=%b)" % name if is_repeated else b"(?P<%b>%b)" % (name, field.pattern)), field.width


def _moment(fields: Mapping[str, int]) -> datetime:
    """The time of which some fields are known, those checked by `_check`; raises ValueError or OverflowError."""
    if "s" in fields:
        return datetime.fromtimestamp(fields["s"])
    year = fields["Y"] if "Y" in fields else _full_year(fields["y"])
    if "m" in fields and "d" in fields:
        date = datetime(year, fields["m"], fields["d"])
    else:
        date = datetime(year, 1, 1) + timedelta(days=fields["j"] - 1)
    return date.replace(
        hour=fields.get("H", 0),
        minute=fields.get("M", 0),
        second=fields.get("S", 0),
        microsecond=fields.get("f", 0),
    )


def _full_year(two_digits: int) -> int:
    return two_digits + (2000 if two_digits <= _LAST_YEAR_OF_2000S else 1900)


def _check(text: str, *, literals: Sequence[str], letters: Set[str]) -> None:
    """Raises SettingsError where times written in the format `text` cannot be read back from a file's name."""
    problem = _problem(literals, letters)
    if problem is not None:
        raise SettingsError(f"times in the format {text!r} cannot be read back from archives' names: {problem}")


def _problem(literals: Sequence[str], letters: Set[str]) -> str | None:
    unknown = sorted(letters - _FIELDS.keys())
    if unknown:
        return f"%{unknown[0]} is not one of {_ALLOWED}"
    if any(character in literal for literal in literals for character in "/\0\n"):
        return "a slash, a line break or a NUL cannot be part of a file name"
    if "s" in letters:
        return "nothing else may stand beside %s" if len(letters) > 1 else None
    if not (letters & {"Y", "y"} and (letters >= {"m", "d"} or "j" in letters)):
        return "it holds no whole date; write %Y-%m-%d, %F, %Y%j or %s in it"
    lonely = [fine for fine, coarse in _NEEDS.items() if fine in letters and coarse not in letters]
    return f"%{lonely[0]} does not tell the time without %{_NEEDS[lonely[0]]}" if lonely else None


_MOMENT = re.compile(r"([1-9]\d{3})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?:(:?)(\d\d)(?:\5(\d\d))?)?)?)?)?", re.ASCII)
_STEPS = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))


def parse_moment(text: str) -> datetime:
    """The first moment after the year, month, day, hour, minute or second that `text` names; naive.

    So an archive is not after `2026-11-20` when its time is less than what comes back: 2026-11-21, midnight.
    Raises SettingsError.
    """
    match = _MOMENT.fullmatch(text.strip())
    if match is not None:
        with suppress(ValueError, OverflowError):
            return _end_of(*(int(part) for part in match.group(1, 2, 3, 4, 6, 7) if part is not None))
    raise SettingsError(
        f"{text!r} is not a time; write 2026-11-20, 2026-11-20T14:30, 2026-11-20T14:30:15 or 2026-11-20T143015, "
        "or only a part of it from the left, such as 2026-11 or 2026"
    )


def _end_of(year: int, month: int | None = None, day: int | None = None, *clock: int) -> datetime:
    if month is None:
        return datetime(year + 1, 1, 1)
    if day is None:
        following = datetime(year, month, 1) + timedelta(days=31)
        return following.replace(day=1)
    hour, minute, second = (*clock, 0, 0, 0)[:3]
    return datetime(year, month, day, hour, minute, second) + _STEPS[len(clock)]
