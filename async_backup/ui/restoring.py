"""A restore in plain lines, and on a terminal with a bar."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from async_backup.restoring.model import AllEnded, AllStarted, BytesRestored, IssueFound, RestoreEnded, RestoreStarted
from async_backup.text import counted, duration, one_line, shown, size
from async_backup.ui.columns import Amount, Speed
from async_backup.ui.display import ProgressDisplay
from async_backup.ui.lines import VERBOSE, Lines
from async_backup.unpack.rules import IssueKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from async_backup.errors import BackupError
    from async_backup.restoring.model import AllReport, RestoreEvent, RestoreReport
    from async_backup.unpack.rules import Issue

_ALIKE = 10
"""Members that are named one by one where one reason is the same for many."""

_KINDS = {
    IssueKind.REFUSED: "not restored",
    IssueKind.IN_THE_WAY: "not restored",
    IssueKind.FAILED: "not restored",
    IssueKind.DAMAGED: "damaged",
    IssueKind.SUSPECT: "doubtful",
    IssueKind.INCOMPLETE: "incomplete",
    IssueKind.KEPT: "kept",
    IssueKind.ATTRIBUTE: "not as it was",
    IssueKind.NOTE: "note",
}


class RestorePrinter(Lines):
    """A listener that prints lines: news to `out`, trouble to `err`."""

    def __init__(self, target: Path, out: Callable[[str], None], err: Callable[[str], None], verbosity: int) -> None:
        self._target = target
        super().__init__(out, err, verbosity)
        self._most_alike = _ALIKE if verbosity < VERBOSE else sys.maxsize
        self._alike: Counter[tuple[IssueKind, str]] = Counter()
        self._are_all = False

    def __call__(self, event: RestoreEvent) -> None:
        match event:
            case AllStarted(archives, stored):
                self._are_all = True
                self._detail(f"{counted(archives, 'archive')}, {size(stored)}")
            case AllEnded(report):
                self._all_ended(report)
            case RestoreStarted():
                self._started(event)
            case IssueFound(issue) if not issue.kind.is_common:
                self._issue(issue)
            case RestoreEnded(report):
                self._ended(report)
            case IssueFound() | BytesRestored():
                pass

    def _started(self, event: RestoreStarted) -> None:
        if event.members is None:
            self._out(f"{shown(event.archive)} is read from its beginning to its end: {shown(event.reason)}")
        else:
            members = counted(event.members, "member")
            if event.is_incomplete:
                self._err(
                    f"{shown(event.archive)} is incomplete: something changed or could not be read when it was made"
                )
            self._detail(f"{shown(event.archive)}: {members}, {size(event.wanted_size)} of {size(event.size)} to fetch")

    def _all_ended(self, report: AllReport) -> None:
        for path in report.left[: self._most_alike]:
            self._err(f"not begun: {shown(path)}")
        if len(report.left) > self._most_alike:
            self._err(f"  and {len(report.left) - self._most_alike} more (-v names them)")
        head = "interrupted: " if report.is_interrupted else ""
        number = len(report.reports) + len(report.left) - report.unwanted
        of = "" if report.whole == number else f"{report.whole} of "
        none = f" (nothing of {counted(report.unwanted, 'other')} is wanted)" if report.unwanted else ""
        raw_size = size(sum(one.raw_size for one in report.reports))
        self._out(
            f"{head}{of}{counted(number, 'archive')} restored to "
            f"{shown(self._target)}: {raw_size} in {duration(report.seconds)}{none}"
        )

    def _issue(self, issue: Issue) -> None:
        say = self._err if issue.kind.is_loss else self._detail if issue.kind is IssueKind.KEPT else self._out
        self._alike[issue.kind, issue.reason] += 1
        alike = self._alike[issue.kind, issue.reason]
        if alike == self._most_alike + 1:
            say("  (further ones for the same reason are only counted; -v names them)")
        if alike > self._most_alike:
            return
        say(f"{_KINDS[issue.kind]}: {shown(issue.path)}: {shown(issue.reason)}")

    def _common(self, issue: Issue) -> None:
        say = self._err if issue.kind.is_loss else self._out
        members = counted(issue.times, "member")
        say(f"{_KINDS[issue.kind]}: {shown(issue.reason)} ({members}, the first is {shown(issue.path)})")

    def _ended(self, report: RestoreReport) -> None:
        for issue in report.issues:
            if issue.kind.is_common:
                self._common(issue)
        are_all_named = all(times <= self._most_alike for times in self._alike.values())
        self._alike.clear()
        is_untouched = not report.files and not report.issues
        if report.error is not None and is_untouched:
            self._err(f"error: {named(report.archive, report.error)}")
        elif report.is_unwanted:
            self._detail(f"nothing in {shown(report.archive)} is wanted")
        else:
            self._restored(report)
            self._left_out(report, are_all_named=are_all_named)

    def _restored(self, report: RestoreReport) -> None:
        head = "interrupted: " if report.is_interrupted else ""
        directory = os.fsdecode(os.path.dirname(report.archive)) if self._are_all else ""
        rate = f", {size(report.raw_size / report.seconds)}/s" if report.seconds > 0 else ""
        self._out(
            f"{head}{counted(report.files, 'member')} of {shown(report.archive)} restored to "
            f"{shown(self._target / directory)}: "
            f"{size(report.raw_size)} in {duration(report.seconds)}{rate}"
        )
        if report.error is not None:
            self._err(f"error: {named(report.archive, report.error)}")
            self._err("what was restored before that is there; the rest is not")

    def _left_out(self, report: RestoreReport, *, are_all_named: bool) -> None:
        kept = report.counts.get(IssueKind.KEPT, 0)
        if kept:
            were = "that is not older was there and was" if kept == 1 else "that are not older were there and were"
            self._out(f"{counted(kept, 'file')} {were} kept (-v names {'it' if kept == 1 else 'them'})")
        lost = sum(times for kind, times in report.counts.items() if kind.is_loss)
        if lost:
            came = "did not come back as it was" if lost == 1 else "did not come back as they were"
            named = "named above" if are_all_named else "the first are named above, -v names all"
            self._err(f"{counted(lost, 'member')} {came} ({named})")


def named(archive: bytes, error: BackupError) -> str:
    """The error, with the archive's name in front unless it stands there."""
    return one_line(error) if str(error).startswith(os.fsdecode(archive)) else f"{shown(archive)}: {one_line(error)}"


class RestoreBar(ProgressDisplay["RestoreEvent"]):
    """A bar of the bytes that come."""

    def __init__(self, console: Console) -> None:
        columns = TextColumn("restoring"), BarColumn(), Amount(), Speed(), TimeRemainingColumn()
        super().__init__(Progress(*columns, console=console))
        self._task = self._progress.add_task("", total=None)
        self._are_all = False

    def show(self, event: RestoreEvent) -> None:
        match event:
            case AllStarted(_, stored):
                self._are_all = True
                self._progress.update(self._task, total=stored)
                self.start()
            case RestoreStarted() if not self._are_all:
                self._progress.update(self._task, total=event.wanted_size)
                self.start()
            case BytesRestored(stored):
                self._progress.advance(self._task, stored)
            case AllEnded():
                self.stop()
            case RestoreEnded() if not self._are_all:
                self.stop()
            case _:
                pass
