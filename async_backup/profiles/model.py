"""What a configuration file holds, each value with the place where it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from async_backup.errors import SettingsError
from async_backup.profiles.suggestions import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULTS: Final = "defaults"
PROFILE: Final = "profile"
HOOKS: Final = "hooks"
EXTENDS: Final = "extends"
ALIASES: Final = {"source": "sources"}
"""Other names of settings, for a single value of a list."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


class Place(NamedTuple):
    """A line in a file (0: not known), and the section that it is in: `defaults`, `profile nightly`."""

    file: Path
    line: int
    section: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else str(self.file)


class Value(NamedTuple):
    """A setting as TOML gave it: str, int, float, bool, list or (which no setting is) dict, date or time."""

    value: object
    place: Place


class Section(NamedTuple):
    """One table of settings. `extends` and `hooks` are not among its values."""

    values: Mapping[str, Value]
    hooks: Mapping[str, Value]
    extends: Value | None
    place: Place


@dataclass(frozen=True, slots=True)
class Profiles:
    """A configuration file whose sections and inheritance are sound; its settings may still be wrong."""

    file: Path
    defaults: Section
    sections: Mapping[str, Section]
    global_hooks: Mapping[str, Value]

    def names(self) -> tuple[str, ...]:
        """The names of the profiles, in the order of the file."""
        return tuple(self.sections)

    def resolved(self, name: str | None = None) -> Mapping[str, Value]:
        """The settings of a profile: its own, those of the profiles that it extends, the defaults.

        Those of `[defaults]` alone without a name. Raises SettingsError for a profile that is not there.
        """
        resolved = dict(self.defaults.values)
        for section in reversed(self._line_of(name)):
            resolved.update(section.values)
        return resolved

    def hooks(self, name: str | None = None) -> Mapping[str, object]:
        """The hooks of a profile, unchecked; its own stand before those of `[hooks]`, each by its name."""
        return {key: hook.value for key, hook in self.located_hooks(name).items()}

    def located_hooks(self, name: str | None = None) -> Mapping[str, Value]:
        """As `hooks`, each with its place."""
        resolved = dict(self.global_hooks)
        for section in reversed(self._line_of(name)):
            resolved.update(section.hooks)
        return resolved

    def section(self, name: str) -> Section:
        """One profile alone; raises SettingsError where there is none of the name."""
        try:
            return self.sections[name]
        except KeyError:
            raise SettingsError(f"there is no profile {name!r} in {self.file}; {self._others(name)}") from None

    def _others(self, name: str) -> str:
        if not self.sections:
            return f"it has none: add a [profile.{name}], or use `async-backup init`"
        return suggestion(name, self.sections) or f"it has {', '.join(self.sections)}"

    def _line_of(self, name: str | None) -> list[Section]:
        """A profile and those that it extends, the nearest first."""
        sections: list[Section] = []
        while name is not None:
            sections.append(self.section(name))
            extends = sections[-1].extends
            name = str(extends.value) if extends else None
        return sections


def check_name(name: str) -> None:
    """Raise SettingsError for what cannot name a profile: it becomes part of names of files and of units."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r} cannot name a profile; use up to 64 letters, digits, '_', '.' and '-', such as nightly"
        )
