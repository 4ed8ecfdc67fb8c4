"""Calls that block and cannot be ended, such as the resolution of a name."""

from __future__ import annotations

import threading
from asyncio import get_running_loop
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable

_T = TypeVar("_T")


async def call_in_daemon(function: Callable[[], _T]) -> _T:
    """What `function` returns; on cancellation it is left alone, and the end of the program does not wait for it.

    A thread of anyio's would be waited for.
    """
    loop = get_running_loop()
    answer: Future[_T] = loop.create_future()

    def call() -> None:
        try:
            settle = partial(_answer, answer, function())
        except Exception as error:  # noqa: BLE001 # whoever awaits gets it
            settle = partial(_fail, answer, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=call, name="async-backup ping", daemon=True).start()
    return await answer


def _answer(answer: Future[_T], result: _T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: Future[_T], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
