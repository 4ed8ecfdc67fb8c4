"""A watch on requests: keep-alive does not notice a server process that is stopped while its connection lives on."""

from __future__ import annotations

import time
from asyncio import Timeout, get_running_loop

_SLOWEST_RATE = 64 << 10
"""Bytes a second of a line that is slow but alive: waiting for an answer may take as long as the data before it."""


_MOST_PATIENCE = 4
"""Time limits that data under way may add."""


class Watch:
    """Ends requests whose channel has given no answer for too long.

    A request stands in the block of a time limit without a deadline; the watch sets one when it must end. That
    costs a tenth of a cancel scope, and there are thousands of requests a second.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._under_way: dict[int, tuple[Timeout, int]] = {}
        self._last = 0
        self._since = time.monotonic()
        self._is_over = False

    def begin(self, limit: Timeout, size: int) -> int:
        """Note a request that carries `size` bytes, for which `end` wants the number that is returned.

        `cancel` makes its `limit` run out, which several requests may share, also if it was called before.
        """
        if not self._under_way:
            self._since = time.monotonic()
        self._last += 1
        self._under_way[self._last] = limit, size
        if self._is_over:
            _run_out(limit)
        return self._last

    def end(self, number: int) -> None:
        """The request has ended, in whatever way."""
        self._under_way.pop(number, None)

    def note_answer(self) -> None:
        self._since = time.monotonic()

    @property
    def requests(self) -> int:
        return len(self._under_way)

    @property
    def bytes_under_way(self) -> int:
        return sum(size for _, size in self._under_way.values())

    def is_stalled(self, bytes_before: int, patience: float = 0.0) -> bool:
        """Whether an answer is overdue, with `bytes_before` bytes on the same line and `patience` seconds more."""
        allowed = self._timeout + patience + min(bytes_before / _SLOWEST_RATE, _MOST_PATIENCE * self._timeout)
        return bool(self._under_way) and time.monotonic() - self._since > allowed

    def cancel(self) -> None:
        """End all requests, those under way and those to come: a channel that ends drops them without a word."""
        self._is_over = True
        limits, self._under_way = {limit for limit, _ in self._under_way.values()}, {}
        for limit in limits:
            _run_out(limit)


def _run_out(limit: Timeout) -> None:
    if not limit.expired():
        limit.reschedule(get_running_loop().time())
