"""The hook after each entry: beside the backup, a few at a time, and never so many waiting that memory tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope, Event, WouldBlock, create_memory_object_stream, create_task_group, move_on_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backup.events import EntryEnded

_AT_ONCE = 4
_WAITING = 1000


class EntryQueue:
    """Takes what ended without ever waiting; `work` calls `run` for each."""

    def __init__(self, run: Callable[[EntryEnded], Awaitable[None]]) -> None:
        self._run = run
        self._ready, self._waiting = create_memory_object_stream["EntryEnded"](_WAITING)
        self._scope = CancelScope()
        self._is_done = Event()
        self._refused = 0

    def put(self, event: EntryEnded) -> None:
        """Put an event into the queue; one for which there is no room is only counted."""
        try:
            self._ready.send_nowait(event)
        except WouldBlock:
            self._refused += 1

    async def work(self) -> None:
        """Work until the queue is closed and empty, or its time is over."""
        try:
            with self._scope:
                async with create_task_group() as tasks:
                    for _ in range(_AT_ONCE):
                        tasks.start_soon(self._work_on)
        finally:
            self._is_done.set()
            self._ready.close()
            self._waiting.close()

    async def _work_on(self) -> None:
        async for event in self._waiting:
            await self._run(event)

    async def drained(self, within: float) -> int:
        """Close the queue and wait for its end; what is under way after `within` seconds is cancelled.

        Returns how many were never begun.
        """
        self._ready.close()
        with move_on_after(within):
            await self._is_done.wait()
        left = self._waiting.statistics().current_buffer_used
        self._scope.cancel()
        await self._is_done.wait()
        return self._refused + left
