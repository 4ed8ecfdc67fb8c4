"""How far a run is and how long it will take, in bytes of tar before compression; nothing is said that is not known."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_backup.last_run import LastSizes

WINDOW = 30.0
"""Seconds over which a rate is taken."""

_STEP = 0.5
"""Seconds between the samples of a rate."""

_SOONEST = 5.0
"""Seconds of movement before anything is said of the time that is left."""

_FEWEST = 3
"""Entries that have ended before the size of an unknown one is guessed from theirs."""

_LONGEST = 30 * 86_400


class Rate:
    """How fast a count grows, over the last `window` seconds."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._count = 0.0
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, now: float, amount: float) -> None:
        """More was done by the time `now`."""
        if not self._samples:
            self._samples.append((now, 0.0))
        self._count += max(0.0, amount)
        self._sample(now)

    def _sample(self, now: float) -> None:
        if now - self._samples[-1][0] >= _STEP:
            self._samples.append((now, self._count))
        while len(self._samples) > 1 and self._samples[1][0] <= now - self._window:
            self._samples.popleft()

    def at(self, now: float) -> float:
        """Units a second; 0 where nothing has moved."""
        if not self._samples:
            return 0.0
        self._sample(now)
        begin, before = self._samples[0]
        return (self._count - before) / (now - begin) if now > begin else 0.0

    def age(self, now: float) -> float:
        """Seconds since the first movement that counts."""
        return now - self._samples[0][0] if self._samples else 0.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """How far everything is, from 0 to 1, and the seconds that it will still take; None where that is not known."""

    fraction: float | None
    seconds_left: float | None


class Estimate:
    """Adds up entries: what they had in the last run, what is counted meanwhile, and what is done of them."""

    def __init__(self, last: LastSizes) -> None:
        self._last = last
        self._open: dict[bytes, int | None] = {}
        """Entries that have not ended, with their sizes where these are known."""
        self._ended: set[bytes] = set()
        self._done: dict[bytes, float] = {}
        """Of entries under way."""
        self._known = 0
        self._unknown = 0
        self._finished = 0.0
        self._committed = (0, 0)
        self._rate = Rate()
        self._is_listed = False
        self._is_counted = False

    @property
    def found(self) -> int:
        """Entries that are known to be there, ended or not."""
        return len(self._open) + len(self._ended)

    @property
    def ended(self) -> int:
        return len(self._ended)

    @property
    def is_listed(self) -> bool:
        """Whether all entries have been found."""
        return self._is_listed

    def has_ended(self, place: bytes) -> bool:
        return place in self._ended

    def add(self, place: bytes, size: int | None = None) -> None:
        """An entry is there; its size may be known now, or else as it was in the last run."""
        if place in self._ended:
            return
        if place in self._open:
            if size is not None:
                self._forget(place)
                self._remember(place, size)
        else:
            self._remember(place, self._last.raw_size(place) if size is None else size)

    def all_listed(self) -> None:
        self._is_listed = True

    def all_counted(self) -> None:
        """No more sizes will come; what is unknown has to be guessed."""
        self._is_counted = True

    def progress(self, place: bytes, done: float, now: float) -> None:
        """So much of an entry is at all its destinations; less than before after a new attempt began."""
        self.add(place)
        if place in self._open:
            self._rate.add(now, done - self._done.get(place, 0.0))
            self._done[place] = done

    def end(self, place: bytes, size: int | None, now: float) -> None:
        """An entry has ended, with `size` bytes of tar; None where there is no archive of it."""
        if place in self._ended:
            return
        expected = self.size(place)
        if size is not None:
            self.progress(place, size, now)
            self._committed = self._committed[0] + 1, self._committed[1] + size
        self._forget(place)
        self._done.pop(place, None)
        self._ended.add(place)
        self._finished += (expected or 0) if size is None else size

    def size(self, place: bytes) -> float | None:
        """What an entry will have in the end; None where nobody can tell."""
        known = self._open.get(place)
        if known is None and self._is_counted:
            return self._typical
        return known

    def at(self, now: float) -> Outlook:
        """What can be said at the time `now`."""
        rate = self._rate.at(now)
        left = self._left()
        if left is None:
            return Outlook(None, None)
        done = self._finished + sum(self._done.values())
        fraction = done / (done + left) if done + left > 0 else None
        return Outlook(fraction, self._seconds(left, rate, now))

    def _seconds(self, left: float, rate: float, now: float) -> float | None:
        if rate <= 0 or self._rate.age(now) < _SOONEST:
            return None
        seconds = left / rate
        return seconds if seconds < _LONGEST else None

    def _left(self) -> float | None:
        """Bytes to come: never negative, also where an entry has grown since it was counted."""
        if not self._is_listed:
            return None
        typical = self._typical if self._unknown else 0
        if typical is None or (self._unknown and not self._is_counted):
            return None
        left = self._known + self._unknown * float(typical)
        for place, done in self._done.items():
            known = self._open[place]
            left -= min(done, typical if known is None else known)
        return max(0.0, left)

    @property
    def _typical(self) -> float | None:
        if self._last.typical is not None:
            return self._last.typical
        number, size = self._committed
        return size / number if number >= _FEWEST else None

    def _remember(self, place: bytes, size: int | None) -> None:
        self._open[place] = size
        if size is None:
            self._unknown += 1
        else:
            self._known += size

    def _forget(self, place: bytes) -> None:
        size = self._open.pop(place, 0)
        if size is None:
            self._unknown -= 1
        else:
            self._known -= size


def about(seconds: float) -> str:
    """`about 3 min`: no more exact than it can be."""
    minutes = round(seconds / 60)
    if seconds < 50:
        return "less than a minute"
    if minutes < 60:
        return f"about {max(1, minutes)} min"
    hours = seconds / 3600
    if hours < 10:
        quarters = round(hours * 4)
        return f"about {quarters // 4} h {quarters % 4 * 15:02d} min"
    return f"about {round(hours)} h" if hours < 48 else f"about {round(hours / 24)} days"
