"""Wall clock and CPU time of whole process trees, exact to the clock tick, without polling.

The kernel adds up the CPU time of children that were waited for. A process whose parent ended first would be
missed, so the process at the root of a tree that is measured is made the heir of such orphans.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.processes import adopt_orphans, children, descendants, stat_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

TICK = 1 / os.sysconf("SC_CLK_TCK")
TIME_FIELDS = slice(11, 15)  # utime, stime, cutime and cstime, counted from the state
IDLE_SECONDS = 15.0


@dataclass(frozen=True)
class Measured:
    """One command: seconds until it ended, CPU seconds of it and all its descendants, its exit status."""

    wall: float
    cpu: float
    status: int


def measured(command: Sequence[str], *, log: Path) -> Measured:
    """Run `command` with its output in `log`, in a process of its own that does nothing but wait for it."""
    with tempfile.TemporaryDirectory() as scratch, log.open("wb") as output:
        report = Path(scratch) / "report.json"
        helper = [sys.executable, "-m", "benchmarks.measure", str(report), *command]
        subprocess.run(helper, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        return Measured(**json.loads(report.read_text()))


class ServerClock:
    """CPU seconds of a server, its sessions and all that these ran, since this object was made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start = self._now()

    def seconds(self) -> float:
        """Waits for sessions to end, so that nothing of a client that has just gone is missed."""
        deadline = time.monotonic() + IDLE_SECONDS
        while descendants(self._pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        return self._now() - self._start

    def _now(self) -> float:
        return sum(_cpu(pid) for pid in [self._pid, *descendants(self._pid)])


def _cpu(pid: int) -> float:
    return sum(int(ticks) for ticks in stat_fields(pid)[TIME_FIELDS]) * TICK


def _main(report: str, *command: str) -> None:
    adopt_orphans()
    start = time.monotonic()
    status = subprocess.run(command, check=False).returncode
    wall = time.monotonic() - start
    _wait_for_orphans()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = Measured(wall=wall, cpu=usage.ru_utime + usage.ru_stime, status=status)
    Path(report).write_text(json.dumps(asdict(result)))


def _wait_for_orphans() -> None:
    deadline = time.monotonic() + IDLE_SECONDS
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return
    sys.stderr.write(f"processes {children(os.getpid())} outlived the command; their CPU time is not counted\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
