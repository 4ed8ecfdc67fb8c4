"""Configuration files for tests, and the command line that reads them, in this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from typer.testing import CliRunner

from async_backup.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path


class Answer(NamedTuple):
    """How a command ended; standard output and standard error as they came."""

    exit_code: int
    output: str


def asked(*words: str, **variables: str) -> Answer:
    """Run a command with these variables in the environment, and no other of ours."""
    ours = {name: None for name in os.environ if name.startswith("ASYNC_BACKUP_")}
    environment = {**ours, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **variables}
    done = CliRunner().invoke(app, words, env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return Answer(done.exit_code, done.output)


def written(directory: Path, text: str, name: str = "config.toml") -> Path:
    """A configuration file with this text."""
    file = directory / name
    file.write_text(text)
    return file
