"""The JSON Schema of the configuration file, for editors and for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backup.profiles.keys import Kind
from async_backup.profiles.model import ALIASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_backup.profiles.keys import Key

_TIMEOUT = {"type": ["string", "number"], "description": "How long a hook may take: seconds, or such as 10m."}
_COMMAND = {
    "anyOf": [
        {"type": "string", "description": "Run by sh -c."},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "A program and its arguments."},
    ]
}
_HOOK = {
    "anyOf": [
        *_COMMAND["anyOf"],
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["command"],
            "properties": {"command": _COMMAND, "timeout": _TIMEOUT},
        },
    ]
}


def schema(keys: Iterable[Key]) -> dict[str, Any]:
    """JSON Schema, draft 2020-12; TOML's tables are its objects."""
    settings = {key.name: _property(key) for key in keys}
    settings.update({alias: settings[name] for alias, name in ALIASES.items() if name in settings})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of async-backup",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "defaults": _table("For every profile, and for commands without one.", settings),
            "profile": {
                "type": "object",
                "description": "[profile.NAME]: what one backup is, for --profile NAME.",
                "propertyNames": {"pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"},
                "additionalProperties": _table("One profile.", {**_OF_PROFILES, **settings}),
            },
            "hooks": {"$ref": "#/$defs/hooks"},
        },
        "$defs": {"hooks": {"type": "object", "description": "Commands around a run.", **_hooks()}},
    }


_OF_PROFILES = {
    "extends": {"type": "string", "description": "Another profile; its settings hold where this one has none."},
    "hooks": {"$ref": "#/$defs/hooks"},
}


def _hooks() -> dict[str, Any]:
    hooks = dict.fromkeys(("before", "after_entry", "after", "on_failure"), _HOOK)
    return {"additionalProperties": False, "properties": {**hooks, "timeout": _TIMEOUT}}


def _table(description: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": description, "additionalProperties": False, "properties": properties}


def _property(key: Key) -> dict[str, Any]:
    one = _type(key)
    whole = {"anyOf": [one, {"type": "array", "items": one}]} if key.is_list else one
    about = {"description": f"{key.help} (of {', '.join(key.commands)})"}
    return {**about, **whole, **({} if key.built_in in (None, [], ()) else {"default": key.built_in})}


def _type(key: Key) -> dict[str, Any]:
    if key.choices:
        return {"enum": list(key.choices)}
    bounds = {"minimum": key.least, "maximum": key.most}
    limits = {name: bound for name, bound in bounds.items() if bound is not None}
    match key.kind:
        case Kind.FLAG:
            return {"type": "boolean"}
        case Kind.INTEGER:
            return {"type": "integer", **limits}
        case Kind.NUMBER:
            return {"type": "number", **limits}
        case Kind.TEXT:
            return {"type": ["string", "integer"]}
        case Kind.PATH:
            return {"type": "string"}
