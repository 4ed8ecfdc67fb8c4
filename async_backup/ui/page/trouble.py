"""What needs attention, before anything else: failures first, then warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from async_backup.model import Committed, Failed, Interrupted
from async_backup.text import counted
from async_backup.ui.page.facts import FirstOnes
from async_backup.ui.page.html import element, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from async_backup.errors import BackupError
    from async_backup.model import Outcome
    from async_backup.ui.page.facts import Facts
    from async_backup.ui.page.html import Html

_FILES_LISTED = 10

_T = TypeVar("_T")


def trouble(facts: Facts) -> Html:
    """All failures and warnings; one sentence where there are none."""
    parts = [part for part in (*_failures(facts), *_warnings(facts)) if part]
    if not parts:
        parts = [element("p", "Nothing failed, and there are no warnings.")]
    return element("section", element("h2", "Failures and warnings"), *parts)


def _failures(facts: Facts) -> Iterable[Html]:
    record = facts.record
    outcomes = [outcome for outcome, _ in record.ended]
    if record.error is not None:
        yield _listed("bad", "The run ended with an error", FirstOnes.of([record.error]), error_text)
    yield _listed("bad", "Lost destinations", FirstOnes.of(record.lost.items()), _lost)
    yield _listed("bad", "Sources that could not be listed", FirstOnes.of(record.source_errors), error_text)
    failed = FirstOnes.of(outcome for outcome in outcomes if isinstance(outcome, Failed))
    yield _listed("bad", "Entries that were NOT backed up", failed, lambda outcome: _failed(facts, outcome))
    interrupted = FirstOnes.of(outcome for outcome in outcomes if isinstance(outcome, Interrupted))
    yield _listed("bad", "Entries that were not committed", interrupted, lambda outcome: _named(facts, outcome))
    partial = FirstOnes.of(outcome for outcome in facts.archived() if outcome.problems.losses)
    yield _listed("bad", "Entries with files that were not backed up as they were", partial, _incomplete)


def _warnings(facts: Facts) -> Iterable[Html]:
    record = facts.record
    yield _listed("warn", "Sources with nothing to back up", FirstOnes.of(record.empty), lambda event: event.path)
    yield _listed(
        "warn",
        "Attempts that failed and were made again",
        facts.retried,
        lambda event: joined([event.entry.path, f" (attempt {event.attempt}): ", error_text(event.error)]),
    )
    leftovers = FirstOnes.of(record.report.leftovers if record.report is not None else ())
    yield _listed("warn", "Left on the server, to be removed by the next run", leftovers, str)
    yield _listed("warn", "Removed from the server: left by a run that died", facts.removed, bytes)


def _listed(kind: str, heading: str, found: FirstOnes[_T], show: Callable[[_T], str | bytes]) -> Html:
    """Nothing at all where nothing was found."""
    if not found.count:
        return joined([])
    items = [element("li", show(item)) for item in found.items]
    return joined([element("h3", f"{heading} ({found.count})", class_=kind), element("ul", *items), more(found)])


def more(found: FirstOnes[_T]) -> Html:
    """How many are not listed, if any."""
    return element("p", f"and {found.left_out:,} more.", class_="dim") if found.left_out else joined([])


def error_text(error: BackupError) -> str:
    """An error with its notes."""
    return "; ".join((str(error), *getattr(error, "__notes__", ())))


def _lost(found: tuple[str, BackupError]) -> Html:
    destination, error = found
    return joined([destination, ": ", error_text(error)])


def _failed(facts: Facts, outcome: Failed) -> Html:
    return joined([_named(facts, outcome), ": ", error_text(outcome.error)])


def _named(facts: Facts, outcome: Outcome) -> Html:
    where = (" at ", outcome.destination) if facts.has_several_destinations else ()
    return joined([outcome.entry.path, *where])


def _incomplete(outcome: Committed) -> Html:
    lost = [problem for problem in outcome.problems.first if problem.kind.is_loss][:_FILES_LISTED]
    files = [element("li", problem.path, f": {problem.reason} ({problem.kind})") for problem in lost]
    left_out = outcome.problems.losses - len(files)
    if left_out:
        files.append(element("li", f"and {left_out:,} more"))
    return joined([outcome.entry.path, f": {counted(outcome.problems.losses, 'file')}", element("ul", *files)])
