"""Random bytes for the ends of packets, fetched from the system by the page: a call for each costs as much as to
encrypt a small packet.
"""

from __future__ import annotations

import os

_PAGE = 4096


class Padding:
    """A stock of random bytes, each given away once."""

    def __init__(self) -> None:
        self._stock = b""
        self._next = 0

    def take(self, size: int) -> bytes:
        """`size` of them."""
        end = self._next + size
        if end > len(self._stock):
            self._stock, self._next, end = os.urandom(_PAGE), 0, size
        part = self._stock[self._next : end]
        self._next = end
        return part
