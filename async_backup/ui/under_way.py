"""What bars know of the entries under way and of the destinations, and whether anything still moves."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from async_backup.text import duration
from async_backup.ui.estimate import Rate

if TYPE_CHECKING:
    from async_backup.model import Entry

SPEED_WINDOW = 10.0
"""Seconds over which a shown speed is taken."""

STALLED_AFTER = 10.0
"""Seconds without movement after which that is said."""

_SLACK = 1.5
_REMEMBERED = 600.0
"""A slow line takes its time for a segment: a stall is longer than the longest gap of these last seconds, by this."""


class UnderWay:
    """An entry from its first attempt until it has ended at each destination."""

    def __init__(self, entry: Entry, now: float) -> None:
        self.entry = entry
        self.began = now
        self.attempt = 1
        self.raw = 0
        self.packed = 0
        self.sent: dict[str, int] = {}
        self.uploaded: set[str] = set()
        self.ended: set[str] = set()
        self.committed: int | None = None
        """Bytes of tar, once it has been committed somewhere."""
        self.has_failed = False
        self.speed = Rate(SPEED_WINDOW)

    def begin(self, attempt: int) -> None:
        """What an earlier attempt has sent was removed."""
        self.attempt = attempt
        self.raw = self.packed = 0
        self.sent.clear()
        self.uploaded.clear()

    def done(self, destinations: set[str]) -> float:
        """Bytes of tar that have arrived at the slowest of the destinations that are still waiting for it."""
        waiting = destinations - self.ended
        if not self.packed or not waiting:
            return 0.0
        slowest = min(self.sent.get(destination, 0) for destination in waiting)
        return self.raw * min(1.0, slowest / self.packed)

    def is_sending(self, destinations: set[str]) -> bool:
        """Whether there is something packed that has not arrived everywhere."""
        return any(
            self.sent.get(destination, 0) < self.packed for destination in destinations - self.ended - self.uploaded
        )

    def is_verifying(self, destinations: set[str]) -> bool:
        """Whether all of it has arrived and the servers are asked for its digest."""
        waiting = destinations - self.ended
        return bool(waiting) and waiting <= self.uploaded


class Pulse:
    """Notices when nothing moves any more."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._gaps: deque[tuple[float, float]] = deque()

    def beat(self, now: float) -> None:
        """Something moved."""
        if self._last is not None and now - self._last >= STALLED_AFTER / 2:
            self._gaps.append((now, now - self._last))
        while self._gaps and self._gaps[0][0] < now - _REMEMBERED:
            self._gaps.popleft()
        self._last = now

    def silent_for(self, now: float) -> float | None:
        """Seconds since something moved; None as long as that is nothing unusual."""
        if self._last is None:
            return None
        silence = now - self._last
        usual = max((gap for _, gap in self._gaps), default=0.0)
        return silence if silence >= max(STALLED_AFTER, _SLACK * usual) else None


def stalled(seconds: float, what: str) -> str:
    """`stalled 14 s: no segment sent`."""
    return f"stalled {for_seconds(seconds)}: {what}"


def for_seconds(seconds: float) -> str:
    """`14 s`, `3 min 12 s`, `2 h 05 min`."""
    return f"{int(seconds)} s" if seconds < 60 else duration(seconds)
