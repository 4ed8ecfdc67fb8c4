"""How much there was of each entry in the last run, kept here so that the next one can tell how long it takes.

One small JSON file for each profile, or for each set of sources and destinations. It is a hint and nothing more: a
file that is damaged, of another version or cannot be written counts as none at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import nlargest
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from async_backup.events import EntryEnded, EntryStarted, RunEnded
from async_backup.model import Committed
from async_backup.replacing import written_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from async_backup.events import Event
    from async_backup.model import Entry, Report

VERSION = 1
MOST_ENTRIES = 10_000
"""Entries that a file remembers, the largest ones."""

MOST_FILES = 200
"""Files that a state directory keeps, the newest ones."""

_MOST_BYTES = 8 << 20
_FOLDER = "last-run"
_SUFFIX = ".json"


class LastEntry(NamedTuple):
    """An archive that was committed: bytes of tar before compression, seconds from the start to the last commit."""

    raw_size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LastSizes:
    """What is known from earlier runs, by `place_of` an entry."""

    entries: Mapping[bytes, LastEntry] = field(default_factory=dict)

    def raw_size(self, place: bytes) -> int | None:
        """Bytes of the last archive of an entry, before compression; None where none is known."""
        known = self.entries.get(place)
        return None if known is None else known.raw_size

    @property
    def typical(self) -> int | None:
        """The median size, for an entry that is new; None where nothing is known."""
        return round(median(entry.raw_size for entry in self.entries.values())) if self.entries else None


def place_of(entry: Entry) -> bytes:
    """The name of an entry from one run to the next: where its archives are, without a time."""
    return b"%b/%b" % (entry.directory, entry.name)


def state_file(state: Path, sources: Iterable[Path], destinations: Iterable[str], profile: str | None = None) -> Path:
    """Where, below the directory `state`, the sizes of such a run are kept."""
    what = ["profile", profile] if profile else ["paths", *map(os.path.abspath, sources)]
    named = json.dumps([what, list(destinations)]).encode()
    return state / _FOLDER / (hashlib.sha256(named).hexdigest()[:32] + _SUFFIX)


def load(file: Path) -> LastSizes:
    """The sizes in a file; none where it is missing, damaged or not one of ours."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST_BYTES + 1)
        return _parsed(json.loads(text)) if len(text) <= _MOST_BYTES else LastSizes()
    except (OSError, ValueError, RecursionError):
        return LastSizes()


def _parsed(state: Any) -> LastSizes:
    if not isinstance(state, dict) or state.get("version") != VERSION or not isinstance(state.get("entries"), dict):
        return LastSizes()
    entries: dict[bytes, LastEntry] = {}
    for place, value in state["entries"].items():
        entry = _entry(value)
        if entry is not None and len(entries) < MOST_ENTRIES:
            with suppress(UnicodeEncodeError):
                entries[os.fsencode(place)] = entry
    return LastSizes(entries)


def _entry(value: Any) -> LastEntry | None:
    match value:
        case [int(raw_size), int(seconds) | float(seconds)] if 0 <= raw_size < 1 << 63 and 0 <= seconds < 1e9:
            return LastEntry(raw_size, float(seconds))
    return None


def save(file: Path, sizes: LastSizes) -> None:
    """Replace a file in one step, and drop the oldest of too many; raises OSError."""
    largest = nlargest(MOST_ENTRIES, sizes.entries.items(), key=lambda item: item[1].raw_size)
    entries = {os.fsdecode(place): [entry.raw_size, round(entry.seconds, 3)] for place, entry in largest}
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with written_beside(file, suffix=_SUFFIX) as opened:
        opened.write(json.dumps({"version": VERSION, "entries": entries}).encode())
    _drop_oldest(file.parent)


def _drop_oldest(directory: Path) -> None:
    """Temporary files of a run that died are among those that go."""
    files = [(file.stat().st_mtime, file) for file in directory.iterdir() if file.name.endswith(_SUFFIX)]
    for _, file in sorted(files, reverse=True)[MOST_FILES:]:
        file.unlink(missing_ok=True)


class LastRun:
    """A listener that keeps the sizes of a run, at its end, for the next one. Never fails the run.

    An entry that was not committed keeps what was known of it. One that is gone is forgotten, unless not all entries
    were looked at: `is_partial` says that only some were wanted.
    """

    def __init__(self, file: Path, *, is_partial: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._is_partial = is_partial
        self._clock = clock
        self._started: dict[bytes, float] = {}
        self._committed: dict[bytes, LastEntry] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case EntryStarted(entry) if place_of(entry) not in self._started:
                self._started[place_of(entry)] = self._clock()
            case EntryEnded(Committed(entry, raw_size=raw_size)):
                place = place_of(entry)
                now = self._clock()
                self._committed[place] = LastEntry(raw_size, now - self._started.get(place, now))
            case RunEnded(report):
                with suppress(OSError):  # a hint for the next run, not worth a word
                    self._save(report)
            case _:
                pass

    def _save(self, report: Report) -> None:
        known = load(self._file).entries
        if not (self._is_partial or report.is_interrupted or report.source_errors):
            there = {place_of(outcome.entry) for outcome in report.outcomes}
            known = {place: entry for place, entry in known.items() if place in there}
        if self._committed:
            save(self._file, LastSizes({**known, **self._committed}))
