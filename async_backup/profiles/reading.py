"""From a TOML file to Profiles."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, NoReturn

from async_backup.errors import SettingsError
from async_backup.profiles.lines import lines_of
from async_backup.profiles.model import (
    ALIASES,
    DEFAULTS,
    EXTENDS,
    HOOKS,
    PROFILE,
    Place,
    Profiles,
    Section,
    Value,
    check_name,
)
from async_backup.profiles.suggestions import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LARGEST_FILE = 1 << 20
_POSITION = re.compile(r" \(at line (\d+), column (\d+)\)$")


def load(path: Path) -> Profiles:
    """Read a configuration file.

    Raises SettingsError for what cannot be read, is not TOML, has sections of other names, or profiles that extend
    what is not there or, in the end, themselves. Keys and values of settings are not looked at.
    """
    return parse(read_text(path), path)


def parse(text: str, path: Path) -> Profiles:
    """As `load`, from the file's text."""
    return _Reader(parse_toml(text, path), text, path).profiles()


def read_text(path: Path) -> str:
    """The file's text; raises SettingsError where it cannot be read, is too large or not UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"the configuration file {path} cannot be read: {reason}") from error
    if len(content) > _LARGEST_FILE:
        raise SettingsError(f"{path} is too large for a configuration file; the most is 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path}:{line}: this is not UTF-8, as TOML has to be") from error


def parse_toml(text: str, path: Path) -> dict[str, object]:
    """The document; raises SettingsError, with the line, for what is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        position = _POSITION.search(reason)
        where = f"{path}:{position[1]}" if position else f"{path}:{text.count(chr(10)) + 1}"
        column = f" (column {position[2]})" if position else ""
        raise SettingsError(f"{where}: not valid TOML: {_POSITION.sub('', reason)}{column}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: not a configuration: it is nested too deeply") from error
    except ValueError as error:  # an impossible number, which tomllib leaves to Python
        raise SettingsError(f"{path}: not valid TOML: {error}") from error


class _Reader:
    """Turns one document into Profiles."""

    def __init__(self, document: Mapping[str, object], text: str, path: Path) -> None:
        self._document = document
        self._lines = lines_of(text)
        self._file = path

    def profiles(self) -> Profiles:
        for key in self._document:
            if key not in {DEFAULTS, PROFILE, HOOKS}:
                self._fail_unknown_section(key)
        tables = self._table((PROFILE,), self._document.get(PROFILE, {}))
        for name in tables:
            self._check_name(name)
        profiles = Profiles(
            self._file,
            self._section((DEFAULTS,), self._document.get(DEFAULTS, {})),
            {name: self._section((PROFILE, name), table) for name, table in tables.items()},
            self._values((HOOKS,), self._document.get(HOOKS, {})),
        )
        _check_inheritance(profiles)
        return profiles

    def _section(self, path: tuple[str, ...], content: object) -> Section:
        values = dict(self._values(path, content))
        hooks = values.pop(HOOKS, None)
        extends = values.pop(EXTENDS, None)
        if path == (DEFAULTS,):
            self._check_defaults(hooks, extends)
        if extends is not None and not isinstance(extends.value, str):
            raise SettingsError(f"{extends.place}: extends has to be the name of another profile")
        inner = self._values((*path, HOOKS), hooks.value) if hooks else {}
        return Section(_by_one_name(values), inner, extends, self._place(path, path))

    def _check_defaults(self, hooks: Value | None, extends: Value | None) -> None:
        if extends is not None:
            raise SettingsError(f"{extends.place}: only a profile can extend; every profile has the defaults anyway")
        if hooks is not None:
            raise SettingsError(f"{hooks.place}: hooks for all profiles stand in [hooks], not in [defaults.hooks]")

    def _values(self, path: tuple[str, ...], content: object) -> Mapping[str, Value]:
        table = self._table(path, content)
        return {key: Value(value, self._place((*path, key), path)) for key, value in table.items()}

    def _table(self, path: tuple[str, ...], content: object) -> Mapping[str, object]:
        if isinstance(content, dict):
            return content
        name = ".".join(path)
        raise SettingsError(f"{self._place(path, path)}: {name} has to be a table, [{name}]")

    def _place(self, path: tuple[str, ...], section: tuple[str, ...]) -> Place:
        return Place(self._file, self._lines.get(path, 0), " ".join(section[:2]))

    def _check_name(self, name: str) -> None:
        try:
            check_name(name)
        except SettingsError as error:
            raise SettingsError(f"{self._place((PROFILE, name), ())}: {error}") from error

    def _fail_unknown_section(self, key: str) -> NoReturn:
        place = self._place((key,), ())
        if not isinstance(self._document[key], dict):
            raise SettingsError(f"{place}: {key!r} stands in no section; put it below [defaults] or [profile.NAME]")
        near = suggestion(key, (DEFAULTS, PROFILE, HOOKS)) or f"a profile would be [profile.{key}]"
        raise SettingsError(
            f"{place}: there is no section [{key}]; {near} (the sections are [defaults], [profile.NAME], [hooks])"
        )


def _by_one_name(values: Mapping[str, Value]) -> Mapping[str, Value]:
    for alias, name in ALIASES.items():
        if alias in values and name in values:
            raise SettingsError(f"{values[alias].place}: {alias} and {name} are the same setting; write one of them")
    return {ALIASES.get(name, name): value for name, value in values.items()}


def _check_inheritance(profiles: Profiles) -> None:
    for start in profiles.names():
        seen = [start]
        section = profiles.section(start)
        while section.extends is not None:
            extends = str(section.extends.value)
            if extends not in profiles.sections:
                near = suggestion(extends, profiles.sections)
                raise SettingsError(
                    f"{section.extends.place}: profile {seen[-1]} extends {extends!r}, which is not in this file"
                    + (f"; {near}" if near else "")
                )
            if extends in seen:
                circle = " -> ".join([*seen[seen.index(extends) :], extends])
                raise SettingsError(f"{section.extends.place}: profiles extend each other in a circle: {circle}")
            seen.append(extends)
            section = profiles.section(extends)
