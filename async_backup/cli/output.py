"""Lines on standard output and standard error; a backup goes on when nobody can read them any more."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from typing import TextIO


def say(line: str) -> None:
    """Print to standard output."""
    _print(line, sys.stdout)


def complain(line: str) -> None:
    """Print to standard error."""
    _print(line, sys.stderr)


def _print(line: str, stream: TextIO | None) -> None:
    """Print, unless the stream is closed, its reader is gone or its disk is full: from then on into nothing."""
    if stream is None:
        return
    try:
        typer.echo(line, file=stream)
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
