"""Files that are made from the commands and shipped with them: manual page, completions, README's list of commands.

`python -m async_backup.cli.shipped DIRECTORY` brings those of a checkout up to date.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from async_backup.cli.manual import NAME, commands_of, manual
from async_backup.cli.marked import with_part

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPLETIONS: Final = {
    "bash": f"completions/bash/{NAME}",
    "zsh": f"completions/zsh/_{NAME}",
    "fish": f"completions/fish/{NAME}.fish",
}
MANUAL: Final = f"man/{NAME}.1"
README: Final = "README.md"
BEGIN: Final = "<!-- commands: made by python -m async_backup.cli.shipped . -->"
END: Final = "<!-- end of commands -->"

_PROGRAM = f"import sys; sys.argv[0] = '{NAME}'; from async_backup.cli import main; main()"
_ZSH_END = f"compdef _async_backup_completion {NAME}"
_ZSH_END_AUTOLOADED = f"""\
if [ "$funcstack[1]" = "_{NAME}" ]; then
  _async_backup_completion "$@"
else
  {_ZSH_END}
fi"""
"""A file in zsh's function path is the body of the function that completes: it has to do so the first time, too."""


def files(app: typer.Typer, root: Path) -> Mapping[str, str]:
    """What has to be in the files, by their paths below `root`; ValueError where README has no place for commands."""
    return {
        MANUAL: manual(app),
        README: with_commands((root / README).read_text(), commands(app)),
        **{path: completion(shell) for shell, path in COMPLETIONS.items()},
    }


def completion(shell: str) -> str:
    """The script that teaches the commands to a shell, one of COMPLETIONS."""
    environment = {**os.environ, "_ASYNC_BACKUP_COMPLETE": f"source_{shell}"}
    script = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()
    return script.replace(_ZSH_END, _ZSH_END_AUTOLOADED) + "\n"


def commands(app: typer.Typer) -> str:
    """A line for each command: what is typed, and the gist of its help."""
    found = {name: _gist(command.help or "") for name, command in commands_of(typer.main.get_command(app))}
    width = max(map(len, found))
    lines = (f"{name:<{width}}  {gist}" for name, gist in found.items())
    return "```\n" + "\n".join(lines) + "\n```"


def _gist(text: str) -> str:
    """What stands before the first full stop or colon."""
    return re.split(r"[.:](?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


def with_commands(document: str, listing: str) -> str:
    """The document with what is between the two markers replaced; raises ValueError where they are not in it."""
    return with_part(document, BEGIN, END, listing, what="commands")


def main(root: Path) -> None:
    """Write the files."""
    from async_backup.cli.app import app  # noqa: PLC0415 - the commands do not need their manual

    for name, content in files(app, root).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
