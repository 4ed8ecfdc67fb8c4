"""The command line as a user starts it: a process, its words and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.sshd import Sshd

_STATE = os.path.join(tempfile.gettempdir(), f"async-backup-tests-{os.getuid()}")
"""Locks of tests do not stand in the way of this account's own backups."""
PROGRAM = [sys.executable, "-m", "async_backup"]


def environment(home: Path | None = None) -> dict[str, str]:
    """No agent, no keys but those named, no colours, wide lines."""
    kept = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    state = {"XDG_STATE_HOME": _STATE} if home is None else {}
    return {**kept, **state, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **({"HOME": str(home)} if home else {})}


def login(server: Sshd) -> list[str]:
    return ["--key", str(server.key), "--known-hosts", str(server.known_hosts), "--ssh-config", os.devnull]


def backup_command(server: Sshd, source: Path, *more: str, to: Path | None = None) -> list[str]:
    return [*PROGRAM, "run", str(source), "--to", server.destination(to), *login(server), *more]


def finished(command: Sequence[str], home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run to the end, without standard input. No traceback is ever shown to a user."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=100,
        check=False,
        env=environment(home),
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def started(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
