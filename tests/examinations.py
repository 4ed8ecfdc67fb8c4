"""Examinations for tests: one that is run to its end, what it found, and what a directory held before and after."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from anyio import fail_after

from async_backup.config import Limits
from async_backup.doctor.examine import examine
from async_backup.doctor.model import DoctorEnded, DoctorSettings, Finding, StepStarted

if TYPE_CHECKING:
    from pathlib import Path

    from anyio import Event

    from async_backup.config import Destination, SshSettings
    from async_backup.doctor.model import DoctorEvent, DoctorReport, State, Step

FEW = Limits(connections=2, channels=2)


class Diary:
    """A listener that keeps what it is told, and sets `stop` when the step `until` begins."""

    def __init__(self, stop: Event | None = None, until: Step | None = None) -> None:
        self.events: list[DoctorEvent] = []
        self._stop = stop
        self._until = until

    def __call__(self, event: DoctorEvent) -> None:
        self.events.append(event)
        if self._stop and isinstance(event, StepStarted) and event.step is self._until:
            self._stop.set()

    @property
    def findings(self) -> list[Finding]:
        return [event for event in self.events if isinstance(event, Finding)]


async def examined(
    destination: Destination,
    ssh: SshSettings,
    limits: Limits = FEW,
    *,
    diary: Diary | None = None,
    stop: Event | None = None,
) -> DoctorReport:
    """The report; the listener has heard the same."""
    diary = diary or Diary()
    with fail_after(100):
        report = await examine(DoctorSettings(destination, ssh, limits), diary, stop=stop)
    assert diary.events[-1] == DoctorEnded(report)
    assert tuple(diary.findings) == report.findings
    return report


def found(report: DoctorReport, step: Step) -> Finding:
    return next(finding for finding in report.findings if finding.step is step)


def states(report: DoctorReport) -> dict[Step, State]:
    return {finding.step: finding.state for finding in report.findings}


def tree(directory: Path) -> dict[str, bytes | None]:
    """All names below a directory, and the bytes of files."""
    found: dict[str, bytes | None] = {}
    for path in sorted(directory.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[os.fsdecode(path.relative_to(directory))] = content
    return found
