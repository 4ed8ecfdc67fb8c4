"""With which settings and which versions the run was made."""

from __future__ import annotations

import os
import platform
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from async_backup.config import Destination
from async_backup.text import size
from async_backup.ui.page.html import element, joined
from async_backup.ui.page.tables import pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.ui.page.facts import Facts
    from async_backup.ui.page.html import Html

_PACKAGES = ("async-backup", "asyncssh", "isal", "zlib-ng")
_SIZES = {"segment_size", "rate"}


def settings(facts: Facts) -> Html:
    rows = list(_settings(facts.settings))
    return element("section", element("h2", "Settings"), pairs(rows)) if rows else joined([])


def _settings(value: object) -> Iterator[tuple[str, str]]:
    """Each setting that has a value, those of the parts among them; what can only be called is none."""
    if not is_dataclass(value):
        return
    for field in fields(value):
        held = getattr(value, field.name)
        if is_dataclass(held) and not isinstance(held, Destination):
            yield from _settings(held)
        elif held is not None and held != () and not callable(held):
            yield field.name.replace("_", " "), size(held) if field.name in _SIZES else _written(held)


def _written(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(map(_written, value))
        case bytes() | Path():
            return os.fsdecode(value)
        case Enum():
            return str(value.value)
        case _:
            return str(value)


def versions() -> Html:
    rows = [(package, _version(package)) for package in _PACKAGES]
    system = [("Python", platform.python_version()), ("System", f"{platform.system()} {platform.release()}")]
    return element("section", element("h2", "Versions"), pairs([*rows, *system]))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
