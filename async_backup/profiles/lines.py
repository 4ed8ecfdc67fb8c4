"""In which line a key of a TOML document stands; tomllib does not tell."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path = tuple[str, ...]

_MOST_ATTEMPTS: Final = 300
"""To find the end of one statement; each reads all of it again."""


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, in which each table and each key of a valid document begins.

    Statements are the shortest runs of whole lines that are documents of their own, so nothing here has to know what
    strings and arrays may hold. What stands below a statement of hundreds of lines is left out.
    """
    found: dict[Path, int] = {}
    header: Path = ()
    for number, statement, content in _statements(text):
        paths = list(_paths(content))
        if statement.lstrip().startswith("["):
            header = paths[-1] if paths else ()
            inside: Path = ()
        else:
            inside = header
        for path in paths:
            found.setdefault((*inside, *path), number)
    return found


def _statements(text: str) -> Iterator[tuple[int, str, Mapping[str, object]]]:
    """Line number, text and content of each; a header is a statement of its own."""
    pending: list[str] = []
    attempts = 0
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        pending.append(line)
        if len(pending) > 1 and not _may_end_a_value(line):
            continue
        attempts += 1
        if attempts > _MOST_ATTEMPTS:
            return
        statement = "\n".join(pending)
        try:
            content = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if content:
            yield number - len(pending) + 1, statement, content
        pending, attempts = [], 0


def _may_end_a_value(line: str) -> bool:
    return any(end in line for end in ("]", "}", '"""', "'''"))


def _paths(content: object, above: Path = ()) -> Iterator[Path]:
    if isinstance(content, list) and content and isinstance(content[0], dict):
        content = content[0]  # a header of an array of tables
    if not isinstance(content, dict):
        return
    for key, inner in content.items():
        yield (*above, key)
        yield from _paths(inner, (*above, key))
