"""The reference of the configuration file, in Markdown, made from the options of the commands."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from async_backup.cli.marked import with_part
from async_backup.cli.profile_keys import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_backup.profiles.keys import Key

BEGIN: Final = "<!-- settings: made by python -m async_backup.cli.reference docs/configuration.md -->"
END: Final = "<!-- end of settings -->"

_HEADER = "| Setting | What it is | Default | Of | Meaning |\n|---|---|---|---|---|"
_OTHERS = "What, where"


def settings_of(app: typer.Typer) -> Iterable[Key]:
    """All settings of an application's commands."""
    return keys_of(typer.Context(typer.main.get_command(app))).values()


def markdown(keys: Iterable[Key]) -> str:
    """A table for each panel of the help."""
    by_panel = sorted(keys, key=lambda key: key.panel)
    tables = [
        f"### {panel or _OTHERS}\n\n{_HEADER}\n" + "\n".join(map(_row, group))
        for panel, group in groupby(by_panel, key=lambda key: key.panel)
    ]
    return "\n\n".join(tables)


def with_reference(document: str, reference: str) -> str:
    """The document with what is between the two markers replaced; raises ValueError where they are not in it."""
    return with_part(document, BEGIN, END, reference, what="reference")


def _row(key: Key) -> str:
    cells = (f"`{key.name}`", key.allowed(), _default(key), ", ".join(key.commands), key.help)
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _default(key: Key) -> str:
    if key.built_in is not None:
        return f"`{json.dumps(key.built_in, ensure_ascii=False)}`"
    return key.unset or "none"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("\n", " ")


def main(paths: list[str]) -> None:
    """Bring the reference in these documents up to date."""
    from async_backup.cli.app import app  # noqa: PLC0415 - the commands do not need their reference

    for path in map(Path, paths):
        path.write_text(with_reference(path.read_text(), markdown(settings_of(app))))


if __name__ == "__main__":
    main(sys.argv[1:])
