"""What was backed up: by destination, the slowest, the largest, and all of it."""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING

from async_backup.model import Committed, Failed
from async_backup.remote.base import READBACK
from async_backup.text import duration, size
from async_backup.ui.page.facts import ENTRIES_LISTED, FirstOnes
from async_backup.ui.page.html import element, joined
from async_backup.ui.page.tables import Column, name, number, table
from async_backup.ui.page.trouble import more
from async_backup.ui.run_record import is_whole, raw_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.model import Outcome
    from async_backup.ui.page.facts import Facts
    from async_backup.ui.page.html import Html
    from async_backup.ui.run_record import Ended

_TOP = 10


def destinations(facts: Facts) -> Html:
    columns = [
        name("Destination"),
        number("Committed"),
        number("Failed"),
        number("Interrupted"),
        number("Read"),
        number("Stored"),
        Column("Verified by"),
    ]
    rows = [
        (
            where,
            str(found.committed),
            str(found.failed),
            str(found.interrupted),
            size(found.raw_size),
            size(found.size),
            _verification(facts, where),
        )
        for where, found in facts.record.totals().items()
    ]
    return (
        element("section", element("h2", "Destinations"), table("Destinations", columns, rows)) if rows else joined([])
    )


def _verification(facts: Facts, destination: str) -> str:
    connected = facts.record.connected.get(destination)
    if connected is None:
        return "not reached"
    if connected.verification == READBACK:
        return "reading back" + (f" ({connected.reason})" if connected.reason else "")
    return f"{connected.verification} on the server"


def tops(facts: Facts) -> Html:
    """The slowest and the largest entries, where there are several."""
    slowest = _slowest(facts)
    if len(slowest) < 2:
        return joined([])
    largest = nlargest(_TOP, facts.archived(), key=lambda outcome: outcome.raw_size)
    return joined(
        [
            element("section", element("h2", "Slowest entries"), _times(slowest)),
            element("section", element("h2", "Largest entries"), _sizes(largest)) if largest else "",
        ]
    )


def _slowest(facts: Facts) -> list[Ended]:
    """Each entry where it took longest, the longest first."""
    timed = (found for found in facts.record.ended if found.seconds is not None)
    several = len(facts.record.destinations) or 1
    slowest = nlargest(_TOP * several, timed, key=_seconds)
    once = {found.outcome.entry.path: found for found in reversed(slowest)}
    return sorted(once.values(), key=_seconds, reverse=True)[:_TOP]


def _seconds(found: Ended) -> float:
    return found.seconds or 0.0


def _times(ended: list[Ended]) -> Html:
    columns = [name("Entry"), number("Time"), number("Read"), number("Read a second")]
    rows = (
        (
            found.outcome.entry.path,
            duration(_seconds(found)),
            size(raw_size(found.outcome)),
            f"{size(raw_size(found.outcome) / max(_seconds(found), 1e-3))}/s",
        )
        for found in ended
    )
    return table("Slowest entries", columns, rows)


def _sizes(outcomes: list[Committed]) -> Html:
    columns = [name("Entry"), number("Read"), number("Stored"), number("Stored of read")]
    rows = (
        (
            outcome.entry.path,
            size(outcome.raw_size),
            size(outcome.size),
            f"{outcome.size / max(outcome.raw_size, 1):.0%}",
        )
        for outcome in outcomes
    )
    return table("Largest entries", columns, rows)


def all_entries(facts: Facts) -> Html:
    """Every entry by its name; of too many those that are not whole and the largest, and how many are left out."""
    ended = facts.record.ended
    if not ended:
        return joined([])
    listed = nlargest(ENTRIES_LISTED, ended, key=lambda found: (not is_whole(found.outcome), raw_size(found.outcome)))
    listed.sort(key=lambda found: found.outcome.entry.path)
    left_out = len(ended) - len(listed)
    note = f"What failed and the largest: {len(listed):,} rows; {left_out:,} more are not listed."
    entries = len({found.outcome.entry.path for found in ended})
    return element(
        "section",
        element("h2", f"All entries ({entries:,})"),
        element("p", note, class_="dim") if left_out else "",
        _entries(facts, listed),
    )


def _entries(facts: Facts, ended: list[Ended]) -> Html:
    where = [Column("Destination", "place")] if facts.has_several_destinations else []
    columns = [
        name("Entry"),
        *where,
        Column("Outcome"),
        number("Read"),
        number("Stored"),
        number("Files"),
        number("Time"),
        name("Archive"),
    ]
    return table("All entries", columns, (tuple(_cells(facts, found)) for found in ended))


def _cells(facts: Facts, found: Ended) -> Iterator[str | bytes]:
    outcome, seconds = found
    yield outcome.entry.path
    if facts.has_several_destinations:
        yield outcome.destination
    yield _word(outcome)
    if isinstance(outcome, Committed):
        yield from (size(outcome.raw_size), size(outcome.size), f"{outcome.members:,}")
    else:
        yield from ("", "", "")
    yield duration(seconds) if seconds is not None else ""
    yield outcome.entry.remote_path if isinstance(outcome, Committed) else ""


def _word(outcome: Outcome) -> Html:
    if isinstance(outcome, Committed):
        if outcome.problems.losses:
            return element("span", "not whole", class_="bad")
        return element("span", "unchanged" if outcome.same_as else "committed", class_="good")
    if isinstance(outcome, Failed):
        return element("span", "FAILED", class_="bad")
    return element("span", "interrupted", class_="warn")


def skipped(facts: Facts) -> Html:
    """What was left out by its kind or by a pattern, in sources and in entries."""
    found = FirstOnes(list(facts.skipped.items), facts.skipped.count)
    for outcome in facts.archived():
        for problem in outcome.problems.first:
            if not problem.kind.is_loss:
                found.add((b"%b/%b" % (bytes(outcome.entry.source), problem.path), problem.reason))
    if not found.count:
        return joined([])
    items = [element("li", path, f" ({reason})") for path, reason in found.items]
    return element("section", element("h2", f"Skipped ({found.count:,})"), element("ul", *items), more(found))
