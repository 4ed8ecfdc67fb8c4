"""Questions asked together: each gets its own answer, in few calls, whatever becomes of those who asked."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import TYPE_CHECKING

import pytest
from anyio import Event, create_task_group, current_time, fail_after, wait_all_tasks_blocked

from async_backup.errors import ConnectionDropped
from async_backup.together import Together

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio


class Oracle:
    """Answers with the squares, once its door is open; remembers what it was asked, and when."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls: list[list[int]] = []
        self.times: list[float] = []
        self.under_way = 0
        self.door = Event()

    async def __call__(self, questions: Sequence[int]) -> list[int]:
        self.under_way += 1
        assert self.under_way == 1
        self.calls.append(list(questions))
        self.times.append(current_time())
        try:
            await self.door.wait()
            if self.failures:
                raise self.failures.pop()
        finally:
            self.under_way -= 1
        return [question**2 for question in questions]


async def ask_all(oracle: Oracle, together: Together[int, int], questions: Sequence[int]) -> dict[int, object]:
    """The answers, or what was raised, once the oracle has been asked by the first and all others wait."""
    found: dict[int, object] = {}

    async def ask(question: int) -> None:
        try:
            found[question] = await together.ask(question)
        except ConnectionDropped as error:
            found[question] = error

    with fail_after(10):
        async with create_task_group() as tasks:
            for question in questions:
                tasks.start_soon(ask, question)
            await wait_all_tasks_blocked()
            oracle.door.set()
    return found


@pytest.mark.parametrize(("most", "calls"), [(100, 1), (5, 5), (1, 21)])
async def test_who_comes_at_the_same_time_or_meanwhile_is_asked_for_with_others(most: int, calls: int) -> None:
    oracle = Oracle()
    together = Together(oracle, pause=0, most=most)
    assert await ask_all(oracle, together, range(21)) == {n: n**2 for n in range(21)}
    assert len(oracle.calls) == calls
    assert max(map(len, oracle.calls)) <= most
    assert sorted(chain(*oracle.calls)) == list(range(21))


async def test_two_calls_are_a_pause_apart() -> None:
    oracle = Oracle()
    oracle.door.set()
    together = Together(oracle, pause=0.05, most=100)
    for number in range(3):
        assert await together.ask(number) == number**2
    assert all(later - former >= 0.05 for former, later in pairwise(oracle.times))


async def test_an_error_is_raised_to_one_and_the_others_ask_anew() -> None:
    lost = ConnectionDropped("lost"), ConnectionDropped("lost again")
    oracle = Oracle(*lost)
    found = await ask_all(oracle, Together(oracle, pause=0, most=100), range(10))
    errors = [answer for answer in found.values() if isinstance(answer, ConnectionDropped)]
    assert set(errors) == set(lost)
    assert {n: answer for n, answer in found.items() if answer not in errors} == {
        n: n**2 for n, answer in found.items() if answer not in errors
    }
    assert len(found) == 10


async def test_one_who_goes_takes_no_answer_from_the_others() -> None:
    oracle = Oracle()
    together = Together(oracle, pause=0, most=100)
    with fail_after(10):
        async with create_task_group() as gone:
            for number in (1, 2):
                gone.start_soon(together.ask, number)
            await wait_all_tasks_blocked()
            async with create_task_group() as tasks:
                tasks.start_soon(ask_all, oracle, together, [3, 4])
                await wait_all_tasks_blocked()
                gone.cancel_scope.cancel()
        assert await together.ask(5) == 25
    assert oracle.calls == [[1, 2], [3, 4], [5]]
