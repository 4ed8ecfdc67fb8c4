"""What a file about a run has to know: what was to be done, what became of it, and what it came to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, assert_never

from async_backup.errors import ExitCode
from async_backup.events import (
    Connected,
    DestinationLost,
    EntryEnded,
    EntryStarted,
    RunEnded,
    RunStarted,
    SourceEmpty,
)
from async_backup.model import Committed, Failed, Interrupted, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from async_backup.errors import BackupError
    from async_backup.events import Event
    from async_backup.model import Outcome


class Ended(NamedTuple):
    """An outcome, and the seconds since its entry was started; None where it never was."""

    outcome: Outcome
    seconds: float | None


@dataclass(slots=True)
class Totals:
    """What a run came to at one destination. Sizes in bytes, of what was committed."""

    committed: int = 0
    failed: int = 0
    interrupted: int = 0
    raw_size: int = 0
    size: int = 0
    members: int = 0
    losses: int = 0
    """Files that are not in their archives as they were asked for."""

    @property
    def is_whole(self) -> bool:
        """Whether everything that ended was committed, and nothing is missing in it."""
        return not (self.failed or self.interrupted or self.losses)

    def add(self, outcome: Outcome) -> None:
        match outcome:
            case Committed():
                self.committed += 1
                self.raw_size += outcome.raw_size
                self.size += outcome.size
                self.members += outcome.members
                self.losses += outcome.problems.losses
            case Failed():
                self.failed += 1
            case Interrupted():
                self.interrupted += 1
            case _:
                assert_never(outcome)


@dataclass(slots=True)
class RunRecord:
    """A run as its events told it so far; one record a destination and an outcome, none a file or a segment."""

    clock: Callable[[], float] = time.monotonic
    run: str = ""
    started: datetime = field(default_factory=lambda: datetime.now().astimezone())
    destinations: tuple[str, ...] = ()
    connected: dict[str, Connected] = field(default_factory=dict)
    lost: dict[str, BackupError] = field(default_factory=dict)
    empty: list[SourceEmpty] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    report: Report | None = None
    error: BackupError | None = None
    """What ended the run, where it could not even report."""
    _begin: float = field(init=False)
    _under_way: dict[bytes, tuple[float, int]] = field(default_factory=dict, init=False)
    """When each entry was started, and how many destinations it still has to end at."""

    def __post_init__(self) -> None:
        self._begin = self.clock()

    def add(self, event: Event) -> None:
        match event:
            case RunStarted(run, started, destinations):
                self.run, self.started, self.destinations = run, started, destinations
                self._begin = self.clock()
            case Connected():
                self.connected[event.destination] = event
            case DestinationLost(destination, error):
                self.lost[destination] = error
            case SourceEmpty():
                self.empty.append(event)
            case EntryStarted(entry):
                self._under_way.setdefault(entry.path, (self.clock(), max(len(self.destinations), 1)))
            case EntryEnded(outcome):
                self.ended.append(Ended(outcome, self._seconds(outcome)))
            case RunEnded(report):
                self.report = report
            case _:
                pass

    def _seconds(self, outcome: Outcome) -> float | None:
        begin, ends = self._under_way.pop(outcome.entry.path, (None, 0))
        if begin is None:
            return None
        if ends > 1:
            self._under_way[outcome.entry.path] = begin, ends - 1
        return self.clock() - begin

    @property
    def elapsed(self) -> float:
        """Seconds since the run started."""
        return self.clock() - self._begin

    @property
    def exit_code(self) -> ExitCode:
        if self.error is not None:
            return ExitCode(self.error.exit_code)
        return self.report.exit_code if self.report is not None else ExitCode.NOTHING_DONE

    @property
    def source_errors(self) -> tuple[BackupError, ...]:
        return self.report.source_errors if self.report is not None else ()

    @property
    def all_entries_known(self) -> bool:
        """Whether each entry of the sources was found and has an outcome."""
        report = self.report
        return self.error is None and report is not None and not (report.is_interrupted or report.source_errors)

    def committed(self) -> Iterator[Committed]:
        """What was committed, at each destination."""
        return (outcome for outcome, _ in self.ended if isinstance(outcome, Committed))

    def totals(self) -> dict[str, Totals]:
        """What the run came to at each destination, in the order in which they were given."""
        totals = {destination: Totals() for destination in self.destinations}
        for outcome, _ in self.ended:
            totals.setdefault(outcome.destination, Totals()).add(outcome)
        return totals


def is_whole(outcome: Outcome) -> bool:
    """Whether the entry was committed, and nothing is missing in it."""
    return isinstance(outcome, Committed) and not outcome.problems.losses


def raw_size(outcome: Outcome) -> int:
    """Bytes before compression; 0 of what was not committed."""
    return outcome.raw_size if isinstance(outcome, Committed) else 0
