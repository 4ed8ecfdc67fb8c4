"""The time that there is, divided among what is to be done with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    _T = TypeVar("_T")


class Budget:
    """Seconds for steps that come in the order of `weights`; who is done early leaves more to those that follow."""

    def __init__(self, seconds: float, weights: Mapping[str, float], now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._end = now() + seconds
        self._weights = dict(weights)

    @property
    def left(self) -> float:
        return max(0.0, self._end - self._now())

    def take(self, step: str) -> float:
        """The seconds of a step that begins now; those before it have had their turn."""
        while self._weights and next(iter(self._weights)) != step:
            self._weights.pop(next(iter(self._weights)))
        share = self._weights[step] / sum(self._weights.values())
        self._weights.pop(step)
        return self.left * share


class TimeLimit:
    """A moment by which a thread should end its work, and a way to tell it to end sooner."""

    def __init__(self, seconds: float) -> None:
        self.began = time.monotonic()
        self._end = self.began + seconds
        self._is_ended = False

    @property
    def is_over(self) -> bool:
        return self._is_ended or time.monotonic() >= self._end

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def end(self) -> None:
        self._is_ended = True


async def in_thread(work: Callable[[TimeLimit], _T], seconds: float) -> _T:
    """What `work` returns, which looks at its limit often; where we are cancelled, it is told to end."""
    limit = TimeLimit(seconds)
    try:
        return await to_thread.run_sync(work, limit, abandon_on_cancel=True)
    finally:
        limit.end()
