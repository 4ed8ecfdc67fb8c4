"""Runs as their events tell them, for whatever writes about a run at its end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from async_backup.errors import RemoteFull
from async_backup.events import EntryEnded, EntryStarted, RunEnded, RunStarted
from async_backup.model import Committed, Entry, Failed, Problems, Report
from async_backup.remote.base import StoredDigest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from async_backup.errors import BackupError
    from async_backup.events import Event
    from async_backup.model import Outcome

NAS, SITE = "me@nas:/backups", "off@site:/b"
STARTED = datetime(2026, 11, 25, 3, 15, tzinfo=UTC)


def entry(name: bytes = b"wiki") -> Entry:
    return Entry(Path("/srv"), name, b"", name + b"-now.tar.gz")


def committed(
    name: bytes = b"wiki", at: str = NAS, *, raw_size: int = 5000, problems: Problems | None = None, attempts: int = 1
) -> Committed:
    stored = StoredDigest("aa", "md5sum")
    return Committed(
        entry(name), raw_size // 5, raw_size, 3, "aa", stored, problems or Problems(), attempts, destination=at
    )


def failed(name: bytes = b"wiki", at: str = NAS, error: BackupError | None = None) -> Failed:
    return Failed(entry(name), error or RemoteFull("no room left"), 3, destination=at)


def run(
    *outcomes: Outcome,
    to: tuple[str, ...] = (NAS,),
    before_the_end: Iterable[Event] = (),
    source_errors: tuple[BackupError, ...] = (),
    is_interrupted: bool = False,
    leftovers: tuple[str, ...] = (),
) -> list[Event]:
    """The events of a whole run with these outcomes."""
    started = {outcome.entry.path: EntryStarted(outcome.entry, 1) for outcome in outcomes}
    return [
        RunStarted("ab12", STARTED, to),
        *started.values(),
        *before_the_end,
        *map(EntryEnded, outcomes),
        RunEnded(Report(outcomes, source_errors, is_interrupted, 2.0, leftovers)),
    ]


def tell(listener: Callable[[Event], None], events: Iterable[Event]) -> None:
    for event in events:
        listener(event)
