"""How long the server takes to answer."""

from __future__ import annotations

import time
from statistics import median, quantiles
from typing import TYPE_CHECKING

from async_backup.benching.results import RoundTrip

if TYPE_CHECKING:
    from async_backup.benching.site import Site

_MOST_REQUESTS = 50
_LEAST_REQUESTS = 3


async def measure_round_trip(site: Site, seconds: float) -> RoundTrip:
    """Ask for something small, one request after another; raises RemoteError."""
    end = time.monotonic() + seconds
    channel = await site.pool.channel()
    times: list[float] = []
    while len(times) < _LEAST_REQUESTS or (len(times) < _MOST_REQUESTS and time.monotonic() < end):
        began = time.monotonic()
        await channel.real_path(site.directory)
        times.append(time.monotonic() - began)
    low, _, high = quantiles(times, n=4)
    return RoundTrip(len(times), median(times), low, high)
