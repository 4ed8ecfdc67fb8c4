"""A bound on bytes a second, shared by all that write."""

from __future__ import annotations

from anyio import current_time, sleep

_BURST = 0.25
"""Seconds of unused rate that may be caught up on."""


class RateLimit:
    """Spaces writes out; None means no limit."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        """Wait until `size` more bytes may be sent."""
        if self._rate is None:
            return
        now = current_time()
        start = max(self._free_at, now - _BURST)
        self._free_at = start + size / self._rate
        await sleep(max(0.0, start - now))
