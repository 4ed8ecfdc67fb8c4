"""Wall clock, CPU time and memory of whole process trees; the times exact to the clock tick, without polling.

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
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.processes import adopt_orphans, children, descendants, stat_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

TICK = 1 / os.sysconf("SC_CLK_TCK")
TIME_FIELDS = slice(11, 15)  # utime, stime, cutime and cstime, counted from the state
OWN_TIME_FIELDS = slice(11, 13)
IDLE_SECONDS = 15.0
PAUSE = 0.1


@dataclass(frozen=True)
class Measured:
    """One command: seconds until it ended, CPU seconds of it and all its descendants, its exit status.

    `own` are the CPU seconds of the process itself; `peak` is the largest PSS of them all together that a look each
    0.1 s found, in bytes, or 0 where nobody looked.
    """

    wall: float
    cpu: float
    status: int
    own: float = 0.0
    peak: int = 0


def measured(command: Sequence[str], *, log: Path, look_at_memory: bool = False) -> Measured:
    """Run `command` with its output in `log`, in a process of its own that does nothing but wait for it, or look."""
    with tempfile.TemporaryDirectory() as scratch, log.open("wb") as output:
        report = Path(scratch) / "report.json"
        mode = "look" if look_at_memory else "wait"
        helper = [sys.executable, "-m", "benchmarks.measure", str(report), mode, *command]
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
        return sum(_cpu(pid, TIME_FIELDS) for pid in [self._pid, *descendants(self._pid)])


def _cpu(pid: int, fields: slice) -> float:
    return sum(int(ticks) for ticks in stat_fields(pid)[fields]) * TICK


def pss(pid: int) -> int:
    """Bytes, memory shared by processes counted once; 0 for a process that has just ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


def cpu_here() -> float:
    """CPU seconds of this process and of the children that it waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class _Peak:
    """Looks at the memory of a process and all below it, until it is told to stop."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._bytes = 0
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(PAUSE):
            self._bytes = max(self._bytes, sum(pss(pid) for pid in [self._pid, *descendants(self._pid)]))

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._bytes


def _main(report: str, mode: str, *command: str) -> None:
    adopt_orphans()
    start = time.monotonic()
    process = subprocess.Popen(command)
    peak = _Peak(process.pid) if mode == "look" else None
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall = time.monotonic() - start
    own = _cpu(process.pid, OWN_TIME_FIELDS)  # of a process that has ended and was not waited for
    status = process.wait()
    most = peak.stop() if peak else 0
    _wait_for_orphans()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = Measured(wall, usage.ru_utime + usage.ru_stime, status, own, most)
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
