"""What is going on in a run, put together from its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.events import (
    AttemptFailed,
    Connected,
    DestinationLost,
    EntryEnded,
    EntryFound,
    EntryStarted,
    EntryUploaded,
    RunStarted,
    SegmentPacked,
    SegmentSent,
    Stopping,
)
from async_backup.last_run import place_of
from async_backup.model import Committed, Failed
from async_backup.ui.estimate import Estimate, Rate
from async_backup.ui.under_way import SPEED_WINDOW, Pulse, UnderWay

if TYPE_CHECKING:
    from async_backup.events import Event
    from async_backup.last_run import LastSizes
    from async_backup.model import Entry, Outcome


class Flow:
    """What has been sent to one destination."""

    def __init__(self) -> None:
        self.sent = 0
        self.speed = Rate(SPEED_WINDOW)
        self.is_lost = False


class Board:
    """The state that a display shows; times are seconds of any clock."""

    def __init__(self, last: LastSizes) -> None:
        self.estimate = Estimate(last)
        self.pulse = Pulse()
        self.began: float | None = None
        self.read = 0
        self.failed = 0
        self.is_stopping = False
        self.flows: dict[str, Flow] = {}
        self.under_way: dict[bytes, UnderWay] = {}
        """By `place_of` an entry, in the order in which they began."""

    @property
    def destinations(self) -> set[str]:
        """Those that are not lost."""
        return {name for name, flow in self.flows.items() if not flow.is_lost}

    def note(self, event: Event, now: float) -> None:
        """Something happened at the time `now`."""
        self.pulse.beat(now)
        match event:
            case RunStarted(destinations=destinations):
                self.flows = {destination: Flow() for destination in destinations}
            case Connected():
                self.began = now if self.began is None else self.began
            case DestinationLost(destination):
                self._lose(destination, now)
            case EntryFound(entry):
                self.estimate.add(place_of(entry))
            case Stopping():
                self.is_stopping = True
            case EntryEnded(outcome):
                self._outcome(outcome, now)
            case EntryStarted(entry) | SegmentPacked(entry) | SegmentSent(entry) | EntryUploaded(entry):
                self._entry(event, entry, now)
            case AttemptFailed(entry):
                self._entry(event, entry, now)
            case _:
                pass

    def _entry(self, event: Event, entry: Entry, now: float) -> None:
        place = place_of(entry)
        if self.estimate.has_ended(place):
            return
        under_way = self.under_way.setdefault(place, UnderWay(entry, now))
        match event:
            case EntryStarted(attempt=attempt):
                under_way.begin(attempt)
            case SegmentPacked(raw=raw, packed=packed):
                self.read += raw
                under_way.raw += raw
                under_way.packed += packed
            case SegmentSent(size=size, destination=destination):
                self._sent(under_way, size, self._named(destination), now)
            case EntryUploaded(destination=destination):
                under_way.uploaded.add(self._named(destination))
            case _:
                under_way.begin(under_way.attempt)
        self.estimate.progress(place, under_way.done(self.destinations), now)

    def _sent(self, under_way: UnderWay, size: int, destination: str, now: float) -> None:
        under_way.sent[destination] = under_way.sent.get(destination, 0) + size
        under_way.speed.add(now, size)
        flow = self._flow(destination)
        flow.sent += size
        flow.speed.add(now, size)

    def _named(self, destination: str) -> str:
        """An event without a destination is about the only one there is."""
        return destination or next(iter(self.flows), "")

    def _flow(self, destination: str) -> Flow:
        return self.flows.setdefault(destination, Flow())

    def _outcome(self, outcome: Outcome, now: float) -> None:
        """An entry has ended once it has at each destination that is still there."""
        place = place_of(outcome.entry)
        if self.estimate.has_ended(place):
            return
        under_way = self.under_way.setdefault(place, UnderWay(outcome.entry, now))
        under_way.ended.add(self._named(outcome.destination))
        if isinstance(outcome, Committed):
            under_way.committed = outcome.raw_size
        under_way.has_failed |= isinstance(outcome, Failed)
        self._end(place, under_way, now)

    def _lose(self, destination: str, now: float) -> None:
        self._flow(destination).is_lost = True
        for place, under_way in list(self.under_way.items()):
            if under_way.ended:
                self._end(place, under_way, now)

    def _end(self, place: bytes, under_way: UnderWay, now: float) -> None:
        if self.destinations <= under_way.ended:
            del self.under_way[place]
            self.failed += under_way.has_failed
            self.estimate.end(place, under_way.committed, now)
