"""One cause comes out as one exception; one run serves all who waited for it."""

from __future__ import annotations

import pytest
from anyio import Event, create_task_group, fail_after, wait_all_tasks_blocked

from async_backup.errors import ConnectionDropped, RemoteFull
from async_backup.tasks import SharedRun, task_group

pytestmark = pytest.mark.anyio


async def fail(error: Exception) -> None:
    raise error


async def fail_together(*errors: Exception) -> None:
    async with task_group() as tasks:
        for error in errors:
            tasks.start_soon(fail, error)


async def test_one_failure_comes_out_as_itself() -> None:
    with pytest.raises(RemoteFull):
        await fail_together(RemoteFull("full"))


@pytest.mark.parametrize("first_is_transient", [True, False])
async def test_a_permanent_failure_outweighs_a_passing_one(first_is_transient: bool) -> None:
    errors: list[Exception] = [ConnectionDropped("lost"), RemoteFull("full")]
    with pytest.raises(RemoteFull):
        await fail_together(*(errors if first_is_transient else errors[::-1]))


async def test_a_bug_outweighs_every_expected_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        await fail_together(RemoteFull("full"), ZeroDivisionError())


class Door:
    """A slow operation that counts how often it began."""

    def __init__(self) -> None:
        self.begun = 0
        self.open = Event()

    async def __call__(self) -> None:
        self.begun += 1
        await self.open.wait()


async def test_all_who_ask_while_a_run_is_under_way_share_the_next_one() -> None:
    door = Door()
    shared = SharedRun(door)
    with fail_after(5):
        async with create_task_group() as tasks:
            tasks.start_soon(shared.join)
            await wait_all_tasks_blocked()
            for _ in range(10):
                tasks.start_soon(shared.join)
            await wait_all_tasks_blocked()
            assert door.begun == 1
            door.open.set()
    assert door.begun == 2


async def test_who_asks_later_gets_a_run_that_begins_later() -> None:
    door = Door()
    door.open.set()
    shared = SharedRun(door)
    await shared.join()
    await shared.join()
    assert door.begun == 2


async def test_a_run_that_failed_serves_nobody() -> None:
    errors = [RemoteFull("full")]

    async def run() -> None:
        if errors:
            raise errors.pop()

    shared = SharedRun(run)
    with pytest.raises(RemoteFull):
        await shared.join()
    await shared.join()
    assert errors == []
