"""The top of the page: how the run went, in a word and in a few figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.errors import ExitCode
from async_backup.model import Committed
from async_backup.text import duration, size
from async_backup.ui.page.html import element, joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.ui.page.facts import Facts
    from async_backup.ui.page.html import Html

_WORDS = {
    ExitCode.COMPLETE: ("good", "Complete", "all entries were committed whole"),
    ExitCode.NOTHING_DONE: ("bad", "Failed", "the run could not be done"),
    ExitCode.USAGE: ("bad", "Failed", "the settings cannot be used"),
    ExitCode.INCOMPLETE: ("bad", "Incomplete", "some entries or files were not backed up"),
    ExitCode.LOCKED: ("warn", "Not run", "another run is under way"),
    ExitCode.INTERRUPTED: ("warn", "Interrupted", "the run was stopped before its end"),
}


def title(facts: Facts) -> str:
    """What the page is called: its first word says how the run went."""
    _, word, _ = _WORDS[facts.record.exit_code]
    profile = f" of {facts.profile}" if facts.profile else ""
    return f"{word}: backup{profile}, {facts.record.started:%Y-%m-%d %H:%M}"


def overview(facts: Facts) -> Html:
    kind, word, meaning = _WORDS[facts.record.exit_code]
    started = facts.record.started
    when = element("time", f"{started:%Y-%m-%d %H:%M:%S %z}", datetime=started.isoformat(timespec="seconds"))
    heading = f"Backup of {facts.profile}" if facts.profile else "Backup"
    return element(
        "header",
        element("h1", heading),
        element("p", "Started ", when, f", run {facts.record.run}" if facts.record.run else "", class_="dim"),
        element("p", f"{word}: {meaning} (exit code {int(facts.record.exit_code)}).", class_=f"status {kind}"),
        element("dl", *(_figure(*figure) for figure in _figures(facts)), class_="figures"),
    )


def _figure(name: str, value: str) -> Html:
    return element("div", joined([element("dt", name), element("dd", value)]))


def _figures(facts: Facts) -> Iterator[tuple[str, str]]:
    record = facts.record
    incomplete = {outcome.entry.path for outcome, _ in record.ended if not isinstance(outcome, Committed)}
    entries = {outcome.entry.path for outcome, _ in record.ended}
    archived = list(facts.archived())
    read = sum(outcome.raw_size for outcome in archived)
    stored = sum(outcome.size for outcome in record.committed())
    everywhere = " everywhere" if facts.has_several_destinations else ""
    yield f"Entries committed{everywhere}", f"{len(entries - incomplete)} of {len(entries)}"
    yield "Read", size(read)
    yield "Stored", size(stored)
    yield "Files and directories", f"{sum(outcome.members for outcome in archived):,}"
    yield "Duration", duration(record.elapsed)
    if read and record.elapsed > 0:
        yield "Read a second", f"{size(read / record.elapsed)}/s"
