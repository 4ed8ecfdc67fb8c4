"""A run in numbers: which gauges there are, what they mean, and their values."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from async_backup.model import Committed, Failed
from async_backup.text import shown
from async_backup.ui.earlier_successes import ENTRY_LAST_SUCCESS, LAST_SUCCESS
from async_backup.ui.run_record import is_whole, raw_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from async_backup.model import Outcome
    from async_backup.ui.earlier_successes import Successes
    from async_backup.ui.run_record import RunRecord, Totals

ENTRIES_LIMIT = 200
"""Entries that have gauges of their own: each costs Prometheus five series a destination."""


Values = dict[tuple[str, ...], float]


class Gauge(NamedTuple):
    """One gauge: a value for each combination of its labels."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: Values


def gauges(record: RunRecord, profile: str, now: float, earlier: Successes) -> list[Gauge]:
    """All gauges of a run that ended at `now`, a Unix time."""
    labelled = _by_label(record)
    chosen = _chosen(labelled)
    return [
        *_of_run(record, profile, now, left_out=len(labelled) - len(chosen)),
        *_of_destinations(record, profile, now, earlier),
        *_of_entries({entry: labelled[entry] for entry in chosen}, profile),
        _entries_last_success(record, {entry: labelled[entry] for entry in chosen}, profile, now, earlier),
    ]


def _of_run(record: RunRecord, profile: str, now: float, *, left_out: int) -> list[Gauge]:
    def gauge(name: str, text: str, value: float) -> Gauge:
        return Gauge(f"async_backup_{name}", text, ("profile",), {(profile,): value})

    return [
        Gauge("async_backup_build_info", "The version that ran.", ("version",), {(version("async-backup"),): 1}),
        gauge("last_run_timestamp_seconds", "When the last run ended, whatever came of it.", now),
        gauge("last_run_duration_seconds", "How long the last run took.", record.elapsed),
        gauge("last_run_exit_code", "The exit code of the last run: 0 if all was committed whole.", record.exit_code),
        gauge("source_errors", "Sources that could not be listed in the last run.", len(record.source_errors)),
        gauge("empty_sources", "Sources with nothing to back up in the last run.", len(record.empty)),
        gauge("entries_without_gauges", f"Entries beyond the {ENTRIES_LIMIT} that have their own gauges.", left_out),
    ]


def _of_destinations(record: RunRecord, profile: str, now: float, earlier: Successes) -> list[Gauge]:
    totals = record.totals()

    def gauge(name: str, text: str, value: Callable[[Totals], float]) -> Gauge:
        values: Values = {(profile, shown(destination)): value(found) for destination, found in totals.items()}
        return Gauge(f"async_backup_{name}", text, ("profile", "destination"), values)

    outcomes: Values = {
        (profile, shown(destination), name): float(getattr(found, name))
        for destination, found in totals.items()
        for name in ("committed", "failed", "interrupted")
    }
    lost: Values = {(profile, shown(destination)): float(destination in record.lost) for destination in totals}
    labels = ("profile", "destination")
    return [
        Gauge(
            LAST_SUCCESS,
            "When the last run ended that left every entry whole at the destination.",
            labels,
            dict(_last_success(record, totals, profile, now, earlier)),
        ),
        Gauge("async_backup_destination_lost", "Whether the last run lost the destination.", labels, lost),
        Gauge("async_backup_entries", "Entries of the last run, by outcome.", (*labels, "outcome"), outcomes),
        gauge("source_bytes", "Size of what the last run committed, before compression.", lambda found: found.raw_size),
        gauge("stored_bytes", "Size of the archives that the last run committed.", lambda found: found.size),
        gauge("members", "Files and directories in what the last run committed.", lambda found: found.members),
        gauge("problem_files", "Files not stored as they were asked for by the last run.", lambda found: found.losses),
    ]


def _last_success(
    record: RunRecord, totals: Mapping[str, Totals], profile: str, now: float, earlier: Successes
) -> Iterator[tuple[tuple[str, ...], float]]:
    """A run that failed before it knew its destinations changes nothing."""
    if not totals:
        yield from (((profile, name), time) for name, time in earlier.destinations.items())
    for destination, found in totals.items():
        name = shown(destination)
        if record.all_entries_known and found.is_whole and destination not in record.lost:
            yield (profile, name), now
        elif name in earlier.destinations:
            yield (profile, name), earlier.destinations[name]


def _by_label(record: RunRecord) -> dict[str, dict[str, Outcome]]:
    """Outcomes by entry and destination. Where two names are shown alike, one that is not whole counts."""
    found: dict[str, dict[str, Outcome]] = {}
    for outcome, _ in record.ended:
        at = found.setdefault(shown(outcome.entry.path), {})
        destination = shown(outcome.destination)
        if destination not in at or not is_whole(outcome):
            at[destination] = outcome
    return found


def _chosen(entries: Mapping[str, Mapping[str, Outcome]]) -> list[str]:
    """The entries with gauges of their own: what is not whole first, then the largest."""

    def rank(entry: str) -> tuple[bool, int, str]:
        outcomes = entries[entry].values()
        return all(map(is_whole, outcomes)), -max(map(raw_size, outcomes)), entry

    return sorted(entries, key=rank)[:ENTRIES_LIMIT]


def _of_entries(entries: Mapping[str, Mapping[str, Outcome]], profile: str) -> list[Gauge]:
    def gauge(name: str, text: str, value: Callable[[Outcome], float | None]) -> Gauge:
        values: Values = {
            (profile, destination, entry): found
            for destination, entry, outcome in _flat(entries)
            if (found := value(outcome)) is not None
        }
        return Gauge(f"async_backup_entry_{name}", text, ("profile", "destination", "entry"), values)

    return [
        gauge("failures", "Attempts at the entry that failed in the last run.", _failures),
        gauge("problem_files", "Files of the entry not stored as they were asked for.", _losses),
        gauge("source_bytes", "Size of the entry as it was committed, before compression.", _committed("raw_size")),
        gauge("stored_bytes", "Size of the archive of the entry.", _committed("size")),
    ]


def _entries_last_success(
    record: RunRecord, entries: Mapping[str, Mapping[str, Outcome]], profile: str, now: float, earlier: Successes
) -> Gauge:
    """What an earlier run knew is kept for entries that failed, and for all that this run did not get to."""
    times: Values = {}
    for destination, entry, outcome in _flat(entries):
        time = now if is_whole(outcome) else earlier.entries.get((destination, entry))
        if time is not None:
            times[profile, destination, entry] = time
    if not record.all_entries_known:
        room = ENTRIES_LIMIT * max(len(record.destinations), 1) - len(times)
        missed = [
            (profile, *key) for key in earlier.entries if _may_come_again(record, key[0]) and key[1] not in entries
        ]
        times.update((key, earlier.entries[key[1], key[2]]) for key in missed[:room])
    text = "When the last run ended that left the entry whole at the destination."
    return Gauge(ENTRY_LAST_SUCCESS, text, ("profile", "destination", "entry"), times)


def _may_come_again(record: RunRecord, destination: str) -> bool:
    return not record.destinations or destination in map(shown, record.destinations)


def _flat(entries: Mapping[str, Mapping[str, Outcome]]) -> Iterator[tuple[str, str, Outcome]]:
    return ((destination, entry, outcome) for entry, at in entries.items() for destination, outcome in at.items())


def _failures(outcome: Outcome) -> float | None:
    if isinstance(outcome, Committed):
        return outcome.attempts - 1
    return outcome.attempts if isinstance(outcome, Failed) else None


def _losses(outcome: Outcome) -> float | None:
    return outcome.problems.losses if isinstance(outcome, Committed) else None


def _committed(field: str) -> Callable[[Outcome], float | None]:
    return lambda outcome: getattr(outcome, field) if isinstance(outcome, Committed) else None
