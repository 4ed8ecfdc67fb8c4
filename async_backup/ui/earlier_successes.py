"""When it last went well, read back from the metrics that an earlier run wrote."""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAST_SUCCESS = "async_backup_last_success_timestamp_seconds"
ENTRY_LAST_SUCCESS = "async_backup_entry_last_success_timestamp_seconds"

_SIZE_LIMIT = 16 << 20
_LINE = re.compile(rf"({LAST_SUCCESS}|{ENTRY_LAST_SUCCESS})\{{(.*)\}}\s+(\S+)\s*")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


class Successes(NamedTuple):
    """Unix times of the last success: by destination, and by destination and entry."""

    destinations: dict[str, float]
    entries: dict[tuple[str, str], float]


def earlier_successes(path: Path, profile: str) -> Successes:
    """What the file tells of a profile. A file that is missing, damaged or not ours tells less, or nothing."""
    found = Successes({}, {})
    try:
        with path.open("rb") as file:
            text = file.read(_SIZE_LIMIT).decode("utf-8", "replace")
    except OSError:
        return found
    for name, labels, value in _samples(text):
        if labels.get("profile") != profile or "destination" not in labels:
            continue
        if name == LAST_SUCCESS:
            found.destinations[labels["destination"]] = value
        elif "entry" in labels:
            found.entries[labels["destination"], labels["entry"]] = value
    return found


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        if isfinite(value):
            yield match[1], {name: _unescaped(label) for name, label in _LABEL.findall(match[2])}, value


def _unescaped(label: str) -> str:
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], label)
