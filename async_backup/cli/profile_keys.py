"""The settings of a configuration file, read off the options of the commands."""

from __future__ import annotations

import inspect
import os
import typing
from dataclasses import replace
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Union

from typer.core import TyperGroup

from async_backup.profiles.keys import Key, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import typer

CONFIGURED: Final = ("run", "prune", "verify")
"""The commands all of whose options may stand in a configuration file."""

PREFIX: Final = "ASYNC_BACKUP_"
"""Of the environment variables that stand for options."""

_NO_SETTINGS = frozenset({"help", "profile", "config"})
_MULTIPLE_WORDS = frozenset({"sources"})


def long_name(param: Any) -> str | None:
    """What a parameter is called in a configuration file; None for one that cannot stand there."""
    if param.param_type_name == "argument":
        return param.name if param.name in _MULTIPLE_WORDS else None
    names = [option[2:] for option in param.opts if option.startswith("--")]
    return names[0] if names and names[0] not in _NO_SETTINGS else None


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper().replace("-", "_")


def keys_of(ctx: typer.Context) -> dict[str, Key]:
    """All settings by name, in the order of the help. Where commands share one, the first says what it may be."""
    keys: dict[str, Key] = {}
    for command in CONFIGURED:
        for key in _keys_of_command(ctx, command):
            known = keys.get(key.name, key)
            keys[key.name] = replace(known, commands=(*known.commands, command))
    return keys


def command_of(ctx: typer.Context, name: str) -> Any:
    """A command of the program, or None."""
    root = ctx.find_root()
    return root.command.get_command(root, name) if isinstance(root.command, TyperGroup) else None


def _keys_of_command(ctx: typer.Context, name: str) -> Iterator[Key]:
    command = command_of(ctx, name)
    if command is None:
        return
    hints = typing.get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    for param in command.params:
        known_as = long_name(param)
        if known_as is not None and param.name in hints:
            yield _key(known_as, param, hints[param.name])


def _key(name: str, param: Any, hint: Any) -> Key:
    annotation, info = typing.get_args(hint)[:2]
    kind_of, is_list = _plain_type(annotation)
    return Key(
        name,
        _kind(kind_of),
        is_list,
        tuple(str(member.value) for member in kind_of) if issubclass(kind_of, Enum) else (),
        getattr(info, "min", None),
        getattr(info, "max", None),
        param.metavar or "",
        param.help or "",
        _built_in(param),
        param.show_default if isinstance(param.show_default, str) else "",
        getattr(param, "rich_help_panel", None) or "",
    )


def _plain_type(annotation: Any) -> tuple[type, bool]:
    """The type of one value, and whether there may be several."""
    if typing.get_origin(annotation) in {Union, UnionType}:
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is list:
        return typing.get_args(annotation)[0], True
    return annotation, False


def _kind(kind_of: type) -> Kind:
    for base, kind in ((bool, Kind.FLAG), (int, Kind.INTEGER), (float, Kind.NUMBER), (Path, Kind.PATH)):
        if issubclass(kind_of, base):
            return kind
    return Kind.TEXT


def _built_in(param: Any) -> Any:
    """The default; None for one that is another on every machine."""
    default = param.default
    if isinstance(default, Enum):
        return default.value
    if isinstance(param.show_default, str) or callable(default):
        return None
    return os.fspath(default) if isinstance(default, Path) else default


def by_name(params: list[Any]) -> Mapping[str, Any]:
    """Parameters by the names that they have in a configuration file."""
    return {name: param for param in params if (name := long_name(param)) is not None}
