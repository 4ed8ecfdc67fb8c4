"""Requests under way together, which have one time limit and one place that waits for all of them.

Measured: a twelfth of this program's own processor time less than with a task group and a limit for each.
"""

from __future__ import annotations

from asyncio import ensure_future, wait
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import anyio.lowlevel
from anyio import CancelScope

from async_backup.remote.ssh.translate import REQUEST_ERRORS

if TYPE_CHECKING:
    from asyncio import Future, Timeout
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from async_backup.remote.ssh.watch import Watch


class Batch:
    """A block that starts requests and ends when all are answered, or with the error of the first that failed."""

    def __init__(self, watch: Watch, limit: Timeout) -> None:
        """The `watch` is told of all requests, with their one `limit`."""
        self._watch = watch
        self._limit = limit
        self._under_way: set[Future[Any]] = set()
        self._error: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    def start(self, request: Coroutine[Any, Any, Any], size: int = 0, ended: Callable[[], None] = lambda: None) -> None:
        """Begin a request that carries `size` bytes, behind those that were begun before; `ended` is always called.

        Raises what an earlier one has raised.
        """
        number = self._watch.begin(self._limit, size)
        future = ensure_future(request)
        self._under_way.add(future)
        future.add_done_callback(partial(self._end, number, ended))
        if self._error:
            raise self._error

    def _end(self, number: int, ended: Callable[[], None], request: Future[Any]) -> None:
        self._under_way.discard(request)
        ended()
        self._watch.end(number)
        error = None if request.cancelled() else request.exception()
        if not request.cancelled() and (error is None or isinstance(error, REQUEST_ERRORS)):
            self._watch.note_answer()
        self._error = self._error or error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None and self._under_way:
                await wait(self._under_way)
        finally:
            await self._drop()
        if error is None and self._error:
            raise self._error

    async def _drop(self) -> None:
        """Wait for none of the answers that are missing, but until nobody looks at the data any more."""
        for request in self._under_way:
            request.cancel()
        if self._under_way:
            with CancelScope(shield=True):
                await wait(self._under_way)
                await anyio.lowlevel.checkpoint()  # for the callbacks
