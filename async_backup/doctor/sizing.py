"""How many channels suit a line: its round trip decides."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

_WINDOW = 2 << 20
"""Bytes that OpenSSH lets a channel have under way; so a channel carries that much in a round trip, and not more."""

TARGET = 125_000_000
"""Bytes a second of a line of 1 Gbit/s, which the channels together should be able to fill."""

_MOST_CONNECTIONS = 16
_MOST_CHANNELS = 4
"""Of each connection: OpenSSH takes 10 sessions, and a shell is one."""


class Sizing(NamedTuple):
    """What to run with."""

    connections: int
    channels: int


def most_rate(round_trip: float, channels: int) -> float:
    """Bytes a second that so many channels can carry at a round trip in seconds."""
    return channels * _WINDOW / max(round_trip, 1e-6)


def suggest(round_trip: float, connections: int, channels: int) -> Sizing:
    """Enough for `TARGET` at this round trip in seconds; never less than the connections and channels given."""
    needed = ceil(TARGET * round_trip / _WINDOW)
    each = max(channels, min(_MOST_CHANNELS, ceil(needed / connections)))
    enough = min(_MOST_CONNECTIONS, ceil(needed / each))
    return Sizing(max(connections, enough), each)
