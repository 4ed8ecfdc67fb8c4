"""A source that is backed up night after night."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from tests.command import PROGRAM, backup_command, finished

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sshd import Sshd

SIZE = 400_000
"""Bytes of a file that does not compress: more than what is sent without a look at what is there."""


MARGIN = 1.0
HASTY = [
    sys.executable,
    "-c",
    f"from async_backup import linking; from async_backup.cli import main; linking.MARGIN = {MARGIN}; main()",
]
"""The program, for which a change need not lie back a minute."""


class Nights:
    """A source, and runs that back it up one after another."""

    def __init__(self, sshd: Sshd, base: Path, *options: str) -> None:
        """`options` are those of every run."""
        self.sshd = sshd
        self._options = options
        self.source = base / "source"
        self.target = self.there = base / "backups"
        """Where the archives are, here and as the server names it."""
        (self.source / "wiki").mkdir(parents=True)
        (self.source / "wiki/noise").write_bytes(os.urandom(SIZE))
        (self.source / "small").write_text("small")
        self.settle()

    def settle(self) -> None:
        """Let pass what a change has to lie back before a run: another one could follow it unseen."""
        time.sleep(1.1 + MARGIN)

    def run(self, *options: str, code: int = 0) -> str:
        """What a run printed, whose names have another second in them than those before."""
        while time.strftime("%Y-%m-%dT%H%M%S") in "".join(path.name for path in self.target.glob("*")):
            time.sleep(0.1)
        command = backup_command(self.sshd, self.source, *self._options, *options, to=self.there)
        done = finished([*HASTY, *command[len(PROGRAM) :]])
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def archives(self) -> list[Path]:
        """Those of `wiki`, the oldest first."""
        return sorted(self.target.glob("wiki-*.tar.gz"))

    def are_one_file(self) -> bool:
        return len({path.stat().st_ino for path in self.archives()}) == 1
