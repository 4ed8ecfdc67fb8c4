"""The last lines of a run: what is safe, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.ui.text import counted, duration, one_line, shown, size

if TYPE_CHECKING:
    from async_backup.model import Committed, Report


def summary(report: Report) -> list[str]:
    """One line for the whole run; further ones only where something needs attention."""
    return [_headline(report), *_trouble(report)]


def _headline(report: Report) -> str:
    committed = report.committed
    if not report.outcomes and not report.is_interrupted:
        return "nothing was backed up"
    total = counted(len(report.outcomes), "entry", "entries")
    head = f"{'interrupted: ' if report.is_interrupted else ''}{len(committed)} of {total} committed"
    if not committed:
        return head
    stored = sum(outcome.size for outcome in committed)
    raw = sum(outcome.raw_size for outcome in committed)
    rate = f", {size(raw / report.seconds)}/s" if report.seconds > 0 else ""
    return f"{head}: {size(raw)} became {size(stored)} in {duration(report.seconds)}{rate}"


def _trouble(report: Report) -> list[str]:
    lines = [f"error: {one_line(error)}" for error in report.source_errors]
    if report.failed:
        lines.append(f"{counted(len(report.failed), 'entry was', 'entries were')} NOT backed up:")
        lines += [f"  {shown(outcome.entry.path)}" for outcome in report.failed]
    if report.interrupted:
        lines.append(f"{counted(len(report.interrupted), 'entry was', 'entries were')} not committed")
    lines += [_incomplete(outcome) for outcome in report.committed if outcome.problems.losses]
    lines += [f"left on the server: {shown(name)} (the next run removes it)" for name in report.leftovers]
    return lines


def _incomplete(outcome: Committed) -> str:
    files = counted(outcome.problems.losses, "file")
    return f"{shown(outcome.entry.path)}: {files} changed or could not be read (named above)"
