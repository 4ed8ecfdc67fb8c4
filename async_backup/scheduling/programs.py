"""The one way to the programs that keep schedules: systemctl, systemd-analyze and crontab."""

from __future__ import annotations

import shutil
import subprocess
from typing import NamedTuple

from async_backup.scheduling.model import ScheduleError

_LONGEST = 60.0
"""Seconds: `systemctl` waits for a bus that may be busy at start-up, but not for the backup."""


class Done(NamedTuple):
    """How a program ended. `said` is its standard error on one line."""

    code: int
    out: bytes
    said: str


def is_there(program: str) -> bool:
    return shutil.which(program) is not None


def call(*command: str, given: bytes = b"") -> Done:
    """Run a program to its end with `given` on its standard input; raises ScheduleError where it cannot."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=_LONGEST, check=False)
    except FileNotFoundError as error:
        raise ScheduleError(f"there is no {command[0]} on this machine") from error
    except OSError as error:
        raise ScheduleError(f"{command[0]} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ScheduleError(f"`{' '.join(command)}` did not end within {_LONGEST:g} s") from error
    return Done(done.returncode, done.stdout, " ".join(done.stderr.decode(errors="replace").split()))


def demand(*command: str, given: bytes = b"") -> bytes:
    """As `call`; what the program printed. Raises ScheduleError where it fails."""
    done = call(*command, given=given)
    if done.code != 0:
        raise ScheduleError(
            f"`{' '.join(command)}` failed with exit code {done.code}: {done.said or 'it did not say why'}"
        )
    return done.out
