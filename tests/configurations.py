"""Configuration files for tests, and the command line that reads them, in this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from async_backup.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def asked(*words: str, **variables: str) -> Result:
    """Run a command with these variables in the environment, and no other of ours."""
    ours = {name: None for name in os.environ if name.startswith("ASYNC_BACKUP_")}
    return CliRunner().invoke(app, words, env={**ours, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **variables})


def written(directory: Path, text: str, name: str = "config.toml") -> Path:
    """A configuration file with this text."""
    file = directory / name
    file.write_text(text)
    return file
