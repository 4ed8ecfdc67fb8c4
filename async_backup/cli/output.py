"""Lines on standard output and standard error; a backup goes on when nobody can read them any more."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import typer

from async_backup.errors import BackupError

if TYPE_CHECKING:
    from typing import TextIO


class OutputLost(BackupError):
    """What a command was asked to tell cannot be written."""


def say(line: str) -> None:
    """Print to standard output, as far as that goes: what is told of work that is done all the same."""
    _print(line, sys.stdout)


def say_result(line: str) -> None:
    """Print to standard output what the command is for; raises OutputLost if it cannot be written.

    A reader that went away, as `head` does, has all that it wanted.
    """
    error = _print(line, sys.stdout)
    if error and error.errno != errno.EPIPE:
        raise OutputLost(f"standard output cannot be written: {error.strerror}; what was printed is not all")


def complain(line: str) -> None:
    """Print to standard error."""
    _print(line, sys.stderr)


def _print(line: str, stream: TextIO | None) -> OSError | None:
    """Print; into nothing, and with the reason returned, where the stream is closed, its reader gone, its disk full."""
    if stream is None:
        return OSError(errno.EBADF, os.strerror(errno.EBADF))
    try:
        typer.echo(line, file=stream)
        stream.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return error
    return None
