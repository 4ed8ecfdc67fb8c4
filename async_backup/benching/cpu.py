"""Processor time of the processes below this one, and how busy the machine is, where /proc tells."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import sleep

from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PROC = Path("/proc")
_LOOK_EVERY = 0.2
_PARENT, _USER, _SYSTEM = 1, 11, 12
"""Positions in /proc/PID/stat behind the command's closing parenthesis (proc(5), fields 4, 14 and 15)."""

_IDLE, _WAITING = 3, 4
"""Positions in the first line of /proc/stat."""


class CpuWatch:
    """Looks at the processes below this one while it is watched; those that end are counted as last seen."""

    def __init__(self) -> None:
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._began = _machine()
        self._now = self._began
        self.look()
        self._first = dict(self._last)

    def look(self) -> None:
        self._last.update(_below(os.getpid()))
        self._now = _machine() or self._now

    @property
    def seconds(self) -> float | None:
        """Processor seconds of the processes below this one since it began."""
        if self._began is None:
            return None
        return sum(spent - self._first.get(pid, 0.0) for pid, spent in self._last.items())

    @property
    def busy(self) -> float | None:
        """The share of all processors that was in use since it began."""
        if self._began is None or self._now is None:
            return None
        total, idle = (now - before for now, before in zip(self._now, self._began, strict=True))
        return min(1.0, max(0.0, 1 - idle / total)) if total > 0 else None


@asynccontextmanager
async def watched_cpu() -> AsyncIterator[CpuWatch]:
    """A watch that looks several times a second for as long as the block lasts."""
    watch = CpuWatch()

    async def look_on() -> None:
        while True:
            await sleep(_LOOK_EVERY)
            watch.look()

    async with task_group() as tasks:
        tasks.start_soon(look_on)
        yield watch
        tasks.cancel_scope.cancel()


def _machine() -> tuple[int, int] | None:
    """Ticks of all processors since the start of the machine, and those of them that were idle."""
    with suppress(OSError, ValueError, IndexError):
        ticks = [int(text) for text in (_PROC / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        return sum(ticks), ticks[_IDLE] + ticks[_WAITING]
    return None


def _below(ancestor: int) -> dict[int, float]:
    """Processor seconds of all processes that descend from one."""
    parents, spent = {}, {}
    with suppress(OSError):
        for name in os.listdir(_PROC):
            if name.isdigit() and (fields := _fields(name)):
                parents[int(name)] = int(fields[_PARENT])
                spent[int(name)] = (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
    return {pid: seconds for pid, seconds in spent.items() if _descends(pid, ancestor, parents)}


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    above = parents.get(pid, 0)
    for _ in parents:
        if above in {ancestor, 0}:
            break
        above = parents.get(above, 0)
    return above == ancestor


def _fields(pid: str) -> list[bytes] | None:
    with suppress(OSError, ValueError):
        text = (_PROC / pid / "stat").read_bytes()
        return text[text.rindex(b")") + 2 :].split()
    return None
