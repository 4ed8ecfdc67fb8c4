"""Process trees as /proc of Linux shows them: who descends from whom, and ending them all by their ids.

Run as a program, `processes.py COMMAND [ARGUMENT...]` becomes that command, as the heir of its tree's orphans.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

STOP_SECONDS = 2.0
END_SECONDS = 10.0
PROC = Path("/proc")
PR_SET_CHILD_SUBREAPER = 36


class StillRunningError(Exception):
    """Processes that were killed have not ended in time."""


def adopt_orphans() -> None:
    """From now on, and after exec, a descendant whose parent ends becomes a child of this process, not of init."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def adopting(command: list[str]) -> list[str]:
    """`command`, which begins with an absolute path, started so that no descendant of it gets lost."""
    return [sys.executable, "-I", str(Path(__file__).absolute()), *command]


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state (field 3 of proc(5)) on; none if there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 1 :].split()


def state(pid: int) -> str:
    """The letter of proc(5); a process that has ended counts as Z, whether or not it was waited for."""
    fields = stat_fields(pid)
    return fields[0] if fields and fields[0] != "X" else "Z"


def children(pid: int) -> list[int]:
    everyone = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [other for other in everyone if stat_fields(other)[1:2] == [str(pid)]]


def descendants(pid: int) -> list[int]:
    """Everything started by `pid` and below that still has a living line of parents to it, parents first."""
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


def kill_tree(pid: int) -> None:
    """Kill `pid` and all its descendants, also those that they are just about to start.

    Zombies are left to whoever has to wait for them. Raises StillRunningError if one does not end.
    """
    tree = _frozen(pid)
    for member in tree:
        _signal(member, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while alive := [member for member in tree if state(member) != "Z"]:
        if time.monotonic() > deadline:
            raise StillRunningError(f"processes {alive} still run {END_SECONDS:g} s after SIGKILL")
        time.sleep(0.01)


def _frozen(pid: int) -> list[int]:
    """Stop the tree: a stopped process starts no further ones that we would miss.

    It is looked at until nothing new is found: what ends before it is stopped leaves its children to `pid`.
    """
    frozen: list[int] = []
    while new := [member for member in (pid, *descendants(pid)) if member not in frozen]:
        for member in new:
            _stop(member)
        frozen += new
    return frozen


def _stop(pid: int) -> None:
    _signal(pid, signal.SIGSTOP)
    deadline = time.monotonic() + STOP_SECONDS
    while state(pid) not in "TZ" and time.monotonic() < deadline:
        time.sleep(0.001)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    adopt_orphans()
    os.execv(sys.argv[1], sys.argv[1:])
