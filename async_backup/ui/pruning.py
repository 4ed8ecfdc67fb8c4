"""A prune in plain lines: what stays and why, what goes, and the totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from async_backup.pruning.model import (
    FUTURE,
    ArchiveJudged,
    ArchiveRemoved,
    ArchiveUnjudged,
    OrphanFound,
    OrphanRemoved,
    PruneEnded,
    RemovalFailed,
)
from async_backup.text import counted, one_line, shown, size
from async_backup.ui.lines import VERBOSE, Lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backup.pruning.model import PruneEvent, PruneReport


_OLDEST = "oldest "
"""How the name of a rule begins that keeps the oldest archive, since it has less than it may keep."""


class PrunePrinter(Lines):
    """A listener that prints lines: news to `out`, trouble to `err`. A dry run shows what stays, too."""

    def __init__(
        self, out: Callable[[str], None], err: Callable[[str], None], verbosity: int, *, dry_run: bool
    ) -> None:
        super().__init__(out, err, verbosity)
        self._dry_run = dry_run
        self._shows_table = dry_run or verbosity >= VERBOSE
        self._entry: bytes | None = None
        self._oldest: set[str] = set()

    def __call__(self, event: PruneEvent) -> None:
        match event:
            case ArchiveJudged():
                self._judged(event)
            case ArchiveUnjudged(path):
                if self._shows_table:
                    self._out(f"not touched: {shown(path)}: its name tells no time (another --timestamp-format?)")
            case OrphanFound(path):
                if self._shows_table:
                    self._out(f"checksum file without an archive: {shown(path)}")
            case ArchiveRemoved(path, count):
                self._out(f"removed: {shown(path)} ({size(count)})")
            case OrphanRemoved(path):
                self._out(f"removed: {shown(path)} (its archive is gone)")
            case RemovalFailed(path, error):
                self._err(f"NOT REMOVED: {shown(path)}: {one_line(error)}")
            case PruneEnded(report):
                self._ended(report)
            case _:
                assert_never(event)

    def _judged(self, judged: ArchiveJudged) -> None:
        if not self._shows_table:
            if judged.problem:
                say = self._err if judged.is_unreadable else self._out
                say(f"not touched: {shown(judged.path)}: {shown(judged.problem)}")
            return
        if judged.entry != self._entry:
            self._entry = judged.entry
            self._out(shown(judged.entry))
        self._oldest.update(reason for reason in judged.reasons if reason.startswith(_OLDEST))
        verb = "keep" if judged.stays else "remove"
        self._out(f"  {verb:6}  {judged.when:%Y-%m-%d %H:%M:%S}{size(judged.size):>11}  {_why(judged)}".rstrip())
        if judged.problem:
            self._out(f"          {shown(judged.path)}: {shown(judged.problem)}")

    def _ended(self, report: PruneReport) -> None:
        if not self._shows_table:
            self._kept_apart(report)
        self._totals(report)
        if report.unreadable:
            one, many = "archive stays since it", "archives stay since they"
            self._err(f"{counted(report.unreadable, one, many)} could not be looked at; may the account read there?")
        if self._oldest:
            self._out(f"{', '.join(sorted(self._oldest))}: kept since there are fewer than asked for")

    def _kept_apart(self, report: PruneReport) -> None:
        """What a table would have shown, and what one should know of all the same."""
        if report.future:
            future = counted(report.future, "archive")
            self._out(f"kept: {future} of the future, by the time in the name (-v shows which)")
        if report.unjudged:
            one, many = "archive whose name tells no time was", "archives whose names tell no time were"
            self._out(f"{counted(report.unjudged, one, many)} not touched (-v names them)")

    def _totals(self, report: PruneReport) -> None:
        total = counted(report.archives, "archive")
        if report.dry_run:
            self._out(f"would remove {report.doomed} of {total} and free {size(report.doomed_size)}")
            return
        head = "interrupted: " if report.is_interrupted else ""
        self._out(f"{head}removed {report.removed} of {total}, {size(report.freed)} freed")
        left = report.doomed - report.removed
        if left:
            self._err(f"{counted(left, 'archive')} that should go {'is' if left == 1 else 'are'} there still")
        if report.failed:
            self._err(f"{counted(report.failed, 'file')} could not be removed (named above)")


def _why(judged: ArchiveJudged) -> str:
    if judged.problem:
        return "never touched"
    return ", ".join("in the future" if reason == FUTURE else reason for reason in judged.reasons)
