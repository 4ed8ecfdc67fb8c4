"""A watch on requests: keep-alive does not notice a server process that is stopped while its connection lives on."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio import CancelScope

_SLOWEST_RATE = 64 << 10
"""Bytes a second of a line that is slow but alive: waiting for an answer may take as long as the data before it."""


class Watch:
    """Ends requests whose channel has given no answer for too long."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._scopes: dict[CancelScope, int] = {}
        self._since = time.monotonic()

    @contextmanager
    def request(self, scope: CancelScope, size: int) -> Iterator[None]:
        """Note a request that carries `size` bytes; `cancel` ends its `scope`."""
        if not self._scopes:
            self._since = time.monotonic()
        self._scopes[scope] = size
        try:
            yield
            self._since = time.monotonic()
        finally:
            del self._scopes[scope]

    @property
    def bytes_under_way(self) -> int:
        return sum(self._scopes.values())

    def is_stalled(self, bytes_before: int) -> bool:
        """Whether an answer is overdue, with `bytes_before` bytes on the same line."""
        allowed = self._timeout + bytes_before / _SLOWEST_RATE
        return bool(self._scopes) and time.monotonic() - self._since > allowed

    def cancel(self) -> None:
        for scope in list(self._scopes):
            scope.cancel()
