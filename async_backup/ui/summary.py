"""The last lines of a run: what is safe, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.text import counted, duration, one_line, shown, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.model import Committed, Failed, Report


def summary(report: Report) -> list[str]:
    """One line for the whole run; further ones only where something needs attention."""
    return [_headline(report), *_trouble(report)]


def _headline(report: Report) -> str:
    committed = report.committed
    if not report.outcomes and not report.is_interrupted:
        return "nothing was backed up"
    several = len(report.destinations) > 1
    total = counted(len(report.outcomes), *(("archive", "archives") if several else ("entry", "entries")))
    head = f"{'interrupted: ' if report.is_interrupted else ''}{len(committed)} of {total} committed"
    if not committed:
        return head
    return f"{head}: {_became(report)}{_unchanged(report)}"


def _became(report: Report) -> str:
    """What was packed and sent, and how fast."""
    packed = [outcome for outcome in report.archived if not outcome.same_as]
    if not packed:
        return f"nothing was sent in {duration(report.seconds)}"
    stored, raw = sum(outcome.size for outcome in packed), sum(outcome.raw_size for outcome in packed)
    rate = f", {size(raw / report.seconds)}/s" if report.seconds > 0 else ""
    copied = sum(outcome.copied for outcome in packed)
    how = f" ({size(copied)} copied on the server)" if copied else ""
    return f"{size(raw)} became {size(stored)}{how} in {duration(report.seconds)}{rate}"


def _unchanged(report: Report) -> str:
    linked = [outcome.size for outcome in report.archived if outcome.same_as]
    return f"; {len(linked)} unchanged and linked, {size(sum(linked))}" if linked else ""


def _trouble(report: Report) -> list[str]:
    lines = [f"error: {one_line(error)}" for error in report.source_errors]
    lines += _by_destination(report)
    if report.failed:
        lines.append(f"{counted(len(report.failed), 'entry was', 'entries were')} NOT backed up:")
        lines += [f"  {_named(outcome, report)}" for outcome in report.failed]
    if report.interrupted:
        lines.append(f"{counted(len(report.interrupted), 'entry was', 'entries were')} not committed")
    lines += [line for outcome in report.committed if outcome.problems.losses for line in _incomplete(outcome, report)]
    hint = "the next run removes it, if its account may remove files"
    lines += [f"left on the server: {shown(name)} ({hint})" for name in report.leftovers]
    return lines


def _by_destination(report: Report) -> list[str]:
    """Where there are several destinations, those at which something is missing."""
    if len(report.destinations) < 2:
        return []
    return [
        f"{shown(name)}: {committed} of {counted(total, 'entry', 'entries')} committed"
        for name in report.destinations
        if (committed := sum(outcome.destination == name for outcome in report.committed))
        < (total := sum(outcome.destination == name for outcome in report.outcomes))
    ]


def _named(outcome: Committed | Failed, report: Report) -> str:
    """The entry, and where there are several destinations the one that it is about."""
    return shown(outcome.entry.path) + f" --> {shown(outcome.destination)}" * (len(report.destinations) > 1)


def _incomplete(outcome: Committed, report: Report) -> Iterator[str]:
    where, problems = _named(outcome, report), outcome.problems
    if files := problems.losses - problems.has_no_checksum:
        yield f"{where}: {counted(files, 'file')} changed or could not be read (named above)"
    if problems.has_no_checksum:
        yield f"{where}: its checksum file is missing; `verify --deep --repair-checksums` writes it once there is room"
