"""What each option of a command would be, and where that comes from: the command line left out."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tomlkit
import typer

from async_backup.cli.profile import defaults_for
from async_backup.cli.profile_keys import by_name, command_of, keys_of, variable
from async_backup.errors import SettingsError
from async_backup.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from async_backup.profiles.keys import Key
    from async_backup.profiles.model import Profiles, Value

_WIDTH = 46


class Effective(NamedTuple):
    """One setting; `origin` is environment, `profile NAME`, defaults or built-in, `where` a variable or a place."""

    key: Key
    value: object
    origin: str
    where: str = ""


def effective(ctx: typer.Context, profiles: Profiles | None, name: str | None) -> Iterator[Effective]:
    """Every setting as the commands would take it; raises SettingsError for a wrong one in file or environment."""
    values: Mapping[str, Value] = profiles.resolved(name) if profiles else {}
    contexts: dict[str, typer.Context] = {}
    for key in keys_of(ctx).values():
        command = key.commands[0]
        if command not in contexts:
            contexts[command] = _context(ctx, command, profiles, name)
        yield _effective(key, values.get(key.name), contexts[command])


def _context(ctx: typer.Context, command: str, profiles: Profiles | None, name: str | None) -> typer.Context:
    inner = typer.Context(command_of(ctx, command), parent=ctx.find_root(), info_name=command)
    if profiles is not None:
        inner.default_map = defaults_for(inner, profiles, name)
    return inner


def _effective(key: Key, written: Value | None, ctx: typer.Context) -> Effective:
    param = by_name(list(ctx.command.params))[key.name]
    value, source = param.consume_value(ctx, {})
    value = _processed(param, value, ctx, key) if value is not None else None
    if source.name == "ENVIRONMENT":
        return Effective(key, value, "environment", variable(key.name))
    if written is not None:
        return Effective(key, value, written.place.section, str(written.place))
    return Effective(key, value, "built-in")


def _processed(param: Any, value: object, ctx: typer.Context, key: Key) -> object:
    try:
        return _plain(param.process_value(ctx, value))
    except typer.BadParameter as error:
        raise SettingsError(f"{variable(key.name)} in the environment is not valid: {error.message}") from error


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case Path():
            return os.fsdecode(value)
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            return value


def line_of(setting: Effective) -> str:
    """A line of TOML, with its origin as a comment; a comment alone for what has no value."""
    if setting.value in (None, []):
        return f"# {setting.key.name}: {shown(setting.key.unset or 'none')}".ljust(_WIDTH) + " # built-in"
    text = f"{setting.key.name} = {tomlkit.item(setting.value).as_string()}"
    at = f" at {shown(setting.where)}" if setting.origin != "environment" else f" {setting.where}"
    return f"{shown(text):<{_WIDTH}} # {shown(setting.origin)}{at if setting.where else ''}"


def fields_of(setting: Effective) -> dict[str, object]:
    """For JSON lines."""
    return {
        "key": setting.key.name,
        "value": setting.value,
        "origin": setting.origin,
        "where": setting.where or None,
        "commands": list(setting.key.commands),
    }
