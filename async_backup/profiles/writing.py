"""New profiles in a configuration file, with all that stands there left as it is."""

from __future__ import annotations

import os
import tomllib
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import tomlkit
from tomlkit.exceptions import TOMLKitError

from async_backup.errors import SettingsError
from async_backup.profiles.model import PROFILE, check_name
from async_backup.profiles.reading import parse, parse_toml, read_text
from async_backup.replacing import written_beside

if TYPE_CHECKING:
    from collections.abc import Mapping


def add_profile(path: Path, name: str, values: Mapping[str, object]) -> None:
    """Add `[profile.NAME]` at the end of a configuration file, which is made if it is missing, readable by its owner.

    Nothing that is in the file changes. Values are str, int, float, bool, Path, an Enum's member, or sequences or
    mappings of those; None is left out. Raises SettingsError, and leaves the file as it was, where the profile exists
    already, the file is not sound, a value cannot be written in TOML, or the file cannot be written.
    """
    check_name(name)
    target = path.resolve()
    is_new = not target.exists()
    before = "" if is_new else read_text(target)
    if name in parse(before, path).names():
        raise SettingsError(f"{path} has a profile {name} already; choose another name, or edit that one")
    after = _extended(before, profile_text(name, values))
    _check_result(before, after, name, path)
    write_file(target, after, replace=not is_new)


def profile_text(name: str, values: Mapping[str, object]) -> str:
    """The lines of `[profile.NAME]`; raises SettingsError for values that TOML cannot hold."""
    document = {PROFILE: {name: _plain(values)}}
    try:
        text = tomlkit.dumps(document)
        if tomllib.loads(text) == document:
            return text
    except (TOMLKitError, ValueError, TypeError) as error:
        raise SettingsError(f"the profile {name} cannot be written as TOML: {error}") from error
    raise SettingsError(f"the profile {name} cannot be written as TOML: {values}")


def write_file(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a file whole or not at all; a new one is for its owner alone, an old one keeps its mode and owner.

    Raises SettingsError where it is there already, unless it is to be replaced, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text.encode(), replace=replace)
    except FileExistsError as error:
        raise SettingsError(f"{path} exists already and is not overwritten") from error
    except (OSError, UnicodeEncodeError) as error:
        raise SettingsError(f"{path} cannot be written: {error}") from error


def _write(path: Path, content: bytes, *, replace: bool) -> None:
    with written_beside(path, place=os.replace if replace else _link) as file:
        file.write(content)
        if replace:
            _give_away(file.fileno(), path)


def _link(temporary: str, path: Path) -> None:
    """Unlike a rename this never overwrites."""
    os.link(temporary, path)
    os.unlink(temporary)


def _give_away(descriptor: int, path: Path) -> None:
    """The mode and the owner of what is replaced, as far as we may."""
    old = path.stat()
    with suppress(PermissionError):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, old.st_mode & 0o777)


def _extended(before: str, addition: str) -> str:
    newline = "\r\n" if "\r\n" in before else "\n"
    gap = "" if not before else newline if before.endswith("\n") else 2 * newline
    return before + gap + addition.replace("\n", newline)


def _check_result(before: str, after: str, name: str, path: Path) -> None:
    """What was there has to be there still: profiles written as one inline table can take no further one."""
    try:
        document = tomllib.loads(after)
    except ValueError as error:
        raise SettingsError(
            f"{path} cannot take [profile.{name}] at its end: {error}; write it there by hand"
        ) from error
    old = parse_toml(before, path)
    profiles = document.get(PROFILE, {})
    rest = {key: value for key, value in profiles.items() if key != name}
    if {**document, PROFILE: rest} != {**old, PROFILE: old.get(PROFILE, {})}:
        raise SettingsError(f"{path} cannot take [profile.{name}] at its end; write it there by hand")


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case Path():
            return os.fsdecode(value)
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items() if inner is not None}
        case tuple() | list():
            return [_plain(inner) for inner in value]
        case _:
            return value
