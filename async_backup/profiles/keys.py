"""What a setting is called and what it may be; made from the options of the commands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from async_backup.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from async_backup.profiles.model import Value

    Checks = Mapping[str, Callable[[object], object]]


class Kind(StrEnum):
    """The types of settings; each member's value is how a message names them."""

    FLAG = "true or false"
    INTEGER = "a whole number"
    NUMBER = "a number"
    TEXT = "a string"
    PATH = "a path (a string)"


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. `least` and `most` bound numbers, `choices` strings; `is_list` takes one value or an array."""

    name: str
    kind: Kind
    is_list: bool = False
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    metavar: str = ""
    help: str = ""
    built_in: object = None
    unset: str = ""
    """What holds where there is no value, in words."""
    panel: str = ""
    commands: tuple[str, ...] = ()

    def allowed(self) -> str:
        """What may stand there, in words."""
        one = self._one_allowed()
        return f"{one}, or an array of them" if self.is_list else one

    def _one_allowed(self) -> str:
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        if self.least is not None and self.most is not None:
            return f"{self.kind} from {self.least:g} to {self.most:g}"
        if self.least is not None:
            return f"{self.kind} of at least {self.least:g}"
        return str(self.kind)

    def check(self, value: object) -> None:
        """Raise SettingsError, saying what is allowed, for a value that the option cannot take."""
        items = value if self.is_list and isinstance(value, list) else [value]
        for item in items:
            if not self._takes(item):
                raise SettingsError(f"{self.name} has to be {self.allowed()}, not {_in_toml(item)}")

    def _takes(self, item: object) -> bool:
        match self.kind:
            case Kind.FLAG:
                return isinstance(item, bool)
            case Kind.INTEGER:
                return isinstance(item, int) and not isinstance(item, bool) and self._is_in_range(item)
            case Kind.NUMBER:
                return isinstance(item, int | float) and not isinstance(item, bool) and self._is_in_range(item)
            case Kind.TEXT if not self.choices:
                return isinstance(item, str | int) and not isinstance(item, bool) and "\0" not in str(item)
            case _:
                return isinstance(item, str) and "\0" not in item and (not self.choices or item in self.choices)

    def _is_in_range(self, item: float) -> bool:
        return (self.least is None or item >= self.least) and (self.most is None or item <= self.most)


def plain_value(key: Key, value: Value) -> object:
    """The value as the command line would give it: text for numbers where the option takes text, paths made whole.

    A path may begin with `~`; a relative one is below the directory of the file.
    """
    items = value.value if isinstance(value.value, list) else [value.value]
    plain = [_plain_item(key, item, value) for item in items]
    return plain if key.is_list else plain[0]


def _plain_item(key: Key, item: object, value: Value) -> object:
    match key.kind:
        case Kind.PATH:
            path = os.path.expanduser(str(item))
            return os.path.normpath(os.path.join(value.place.file.absolute().parent, path))
        case Kind.TEXT:
            return str(item)
        case _:
            return item


def _in_toml(item: object) -> str:
    match item:
        case bool():
            return str(item).lower()
        case str():
            return f'the string "{item}"'
        case list():
            return "an array"
        case dict():
            return "a table"
        case int() | float():
            return f"{item}"
        case _:
            return f"the date or time {item}"
