"""Packing processes and slots: bounded, replaced when they die, and gone at the end, however it comes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, cast

import anyio.lowlevel
import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep, to_thread
from hypothesis import given
from hypothesis import strategies as st

from async_backup import worker_process
from async_backup.archive.selection import Selection
from async_backup.body import BodyWriter
from async_backup.copying import ArchiveFile
from async_backup.errors import NoSpace, PackingFailed, SourceError, WorkerDied
from async_backup.events import ignore
from async_backup.model import Entry
from async_backup.processes import Process
from async_backup.remote.memory import MemoryStore
from async_backup.slots import Slots, slot_size
from async_backup.worker_process import PackingRules
from async_backup.workers import Plan, open_workers
from tests.killers import hang, kill_always, kill_once
from tests.processes import descendants, state
from tests.runs import SEGMENT, extracted, make_source, md5

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from async_backup.body import Body
    from async_backup.workers import Workers

pytestmark = pytest.mark.anyio

RULES = PackingRules(SEGMENT, 1, Selection(), "md5")
SLOTS = 6


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Workers]:
    """Two processes that many tests use; each test gives back what it took."""
    async with open_workers(2, SLOTS, RULES) as opened:
        await opened.start()
        yield opened


@pytest.fixture
async def pool(shared: Workers) -> AsyncIterator[Workers]:
    with fail_after(60):
        yield shared
        assert len(shared.slots._free) == SLOTS


@pytest.fixture
def source(tmp_path: Path) -> Path:
    make_source(tmp_path / "source")
    return tmp_path / "source"


async def archive(pool: Workers, source: Path, name: bytes = b"large") -> tuple[Body, bytes]:
    """What a body writer makes of an entry, and the bytes in the store."""
    store = MemoryStore()
    file = ArchiveFile(await store.create(b"/backups/a"))
    writer = BodyWriter(Entry(source, name, b"", name), file, pool, ignore, "md5")
    body = await writer.write(hard_links=True)
    return body, store.files[b"/backups/a"]


def packing_processes(pool: Workers) -> list[int]:
    """The ids of the processes that are there now."""
    executors = [process._executor for process in pool._processes._all]
    return [pid for executor in executors for pid in (executor._processes or {})]


async def until(is_so: Callable[[], bool]) -> None:
    with fail_after(20):
        while not is_so():  # noqa: ASYNC110  (what is waited for happens in other processes)
            await sleep(0.01)


async def test_archives_are_whole_and_the_digest_is_theirs(pool: Workers, source: Path) -> None:
    body, data = await archive(pool, source)
    assert (body.digest, body.size) == (md5(data), len(data))
    assert set(extracted(data)) == {*(f"large/{i}" for i in range(8)), "large/big"}


async def test_one_directory_is_packed_by_all_processes(
    pool: Workers, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed_by: list[object] = []
    call = Process.call

    async def noted(self: Process, function: Any, *arguments: Any, **more: Any) -> Any:
        if function is worker_process.pack_job:
            packed_by.append(self)
        return await call(self, function, *arguments, **more)

    monkeypatch.setattr(Process, "call", noted)
    await archive(pool, source)
    assert set(packed_by) == set(pool._processes._all)


async def test_many_archives_at_once_share_few_slots(pool: Workers, source: Path) -> None:
    async with create_task_group() as tasks:
        for _ in range(3):
            for name in (b"file", b"small", b"large"):
                tasks.start_soon(archive, pool, source, name)


async def test_an_entry_that_is_missing_is_an_error_of_the_source(pool: Workers, source: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        await archive(pool, source, b"missing")
    with pytest.raises(SourceError):
        await archive(pool, source / "nowhere", b"a")


async def test_a_cancelled_archive_gives_its_slots_back(pool: Workers, source: Path) -> None:
    for i in range(20):
        with move_on_after(0.002 * i):
            await archive(pool, source)
        assert len(pool.slots._free) == SLOTS
    body, data = await archive(pool, source)
    assert body.digest == md5(data)


async def test_a_process_that_is_killed_while_idle_is_replaced(pool: Workers, source: Path) -> None:
    before = packing_processes(pool)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: all(state(pid) == "Z" for pid in before))
    with pytest.raises(WorkerDied):
        await archive(pool, source)
    await until(lambda: bool(packing_processes(pool)))
    for _ in range(3):
        try:
            body, data = await archive(pool, source)
        except WorkerDied:
            continue  # the second process is found dead when it is first needed
        assert body.digest == md5(data)
    assert set(packing_processes(pool)).isdisjoint(before)


async def test_a_segment_whose_process_is_killed_is_packed_again(
    pool: Workers, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, plan = await pool.slots.acquire(), pool.new_plan(os.fsencode(source))
    part = await plan.begin(b"large", slot, hard_links=True)
    calm = await pool.pack(plan.source, part.jobs[0], slot)
    monkeypatch.setattr(worker_process, "pack_job", partial(kill_once, str(tmp_path / "flag")))
    assert await pool.pack(plan.source, part.jobs[0], slot) == calm
    await plan.forget()
    slot.release()
    assert (tmp_path / "flag").exists()


async def archive_again_if_a_plan_was_lost(pool: Workers, source: Path) -> tuple[Body, bytes]:
    """The process that died may have kept the plan: then the whole archive is tried again, as a pipeline does."""
    try:
        return await archive(pool, source)
    except WorkerDied:
        return await archive(pool, source)


async def test_a_segment_that_kills_two_processes_fails(
    pool: Workers, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, plan = await pool.slots.acquire(), pool.new_plan(os.fsencode(source))
    part = await plan.begin(b"large", slot, hard_links=True)
    monkeypatch.setattr(worker_process, "pack_job", kill_always)
    with pytest.raises(PackingFailed, match="two packing processes"):
        await pool.pack(plan.source, part.jobs[0], slot)
    monkeypatch.undo()
    await plan.forget()
    slot.release()
    body, data = await archive_again_if_a_plan_was_lost(pool, source)
    assert body.digest == md5(data)


async def test_a_plan_that_was_lost_with_its_process_is_an_error_that_may_be_tried_again(
    pool: Workers, source: Path
) -> None:
    slot, plan = await pool.slots.acquire(), pool.new_plan(os.fsencode(source))
    part = await plan.begin(b"large", slot, hard_links=True)
    assert not part.is_complete
    with pytest.raises(WorkerDied):
        await plan._process.call(kill_always, b"", b"", 0)
    with pytest.raises(WorkerDied, match="plan") as raised:
        await plan.go_on()
    assert raised.value.is_transient
    await plan.forget()
    slot.release()


async def test_slots_bound_what_is_under_way(pool: Workers) -> None:
    slots = [await pool.slots.acquire() for _ in range(SLOTS)]
    with move_on_after(0.05) as waiting:
        await pool.slots.acquire()
    assert waiting.cancelled_caught
    assert len({slot.index for slot in slots}) == SLOTS
    for slot in slots:
        slot.release()


async def test_an_abort_ends_what_is_under_way_at_once(source: Path) -> None:
    async with open_workers(2, SLOTS, RULES) as pool:
        await pool.start()
        pids = packing_processes(pool)
        with fail_after(10):
            async with create_task_group() as tasks:
                tasks.start_soon(expect_death, pool)
                tasks.start_soon(expect_death, pool)
                await until(lambda: all(process.in_flight for process in pool._processes._all))
                pool.abort()
            with pytest.raises(WorkerDied):
                await archive(pool, source)
        assert len(pool.slots._free) == SLOTS
    assert [state(pid) for pid in pids] == ["Z", "Z"]


async def expect_death(pool: Workers) -> None:
    with pytest.raises(WorkerDied):
        await pool._processes.least_busy().call(hang, b"", b"", 0)


async def test_no_packing_process_outlives_its_block_however_it_ends() -> None:
    pids: list[int] = []
    with pytest.raises(RuntimeError, match="a bug"):
        await start_and_fail(pids)
    with move_on_after(10) as scope:
        async with open_workers(2, SLOTS, RULES) as pool:
            await pool.start()
            pids += packing_processes(pool)
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert len(pids) == 4
    assert {state(pid) for pid in pids} == {"Z"}


async def test_workers_that_were_never_started_end_too() -> None:
    with fail_after(10):
        async with open_workers(2, SLOTS, RULES):
            pass


async def start_and_fail(pids: list[int]) -> None:
    async with open_workers(2, SLOTS, RULES) as pool:
        await pool.start()
        pids += packing_processes(pool)
        raise RuntimeError("a bug")


PROGRAM = """
import signal
import anyio
from async_backup.archive.selection import Selection
from async_backup.worker_process import PackingRules
from async_backup.processes import Process
from async_backup.workers import Plan, open_workers

async def main():
    async with open_workers(2, 4, PackingRules(65536, 1, Selection(), "md5")) as workers:
        await workers.start()
        print("ready", flush=True)
        await anyio.sleep_forever()

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
    anyio.run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    files = shared_memory()
    program = tmp_path / "program.py"
    await to_thread.run_sync(program.write_text, PROGRAM)
    family = await to_thread.run_sync(run_and_kill, program, number)
    assert len(family) >= 4  # two that pack, the fork server, the resource tracker
    await until(lambda: {state(pid) for pid in family} == {"Z"})
    await until(lambda: shared_memory() <= files)


def run_and_kill(program: Path, number: signal.Signals) -> list[int]:
    """Everything that descended from the program just before it got the signal."""
    root = Path(__file__).parent.parent
    command = [sys.executable, str(program)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        family = descendants(process.pid)
        process.send_signal(number)
        try:
            process.wait(20)
        finally:
            process.kill()
    return family


class Broken:
    """In place of a packing process: the disk of what it looks at fails."""

    async def call(self, *_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")


async def test_a_source_that_cannot_be_read_any_more_is_an_error_of_its_entry() -> None:
    plan = Plan(1, cast("Process", Broken()), b"/source")
    with pytest.raises(SourceError, match="cannot be read: Input/output error"):
        await plan.begin(b"entry", None, hard_links=True)
    with pytest.raises(SourceError, match="cannot be read: Input/output error"):
        await plan.go_on()


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))


async def test_no_file_is_left_in_shared_memory() -> None:
    files = shared_memory()
    async with open_workers(1, SLOTS, RULES) as pool:
        await pool.start()
    await until(lambda: shared_memory() <= files)


def test_without_room_for_the_slots_there_is_an_error_and_no_file() -> None:
    files = shared_memory()
    with pytest.raises(NoSpace, match="TMPDIR"):
        Slots(1, 1 << 60)
    assert shared_memory() <= files


def test_without_shared_memory_the_temporary_directory_takes_the_slots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[str] = []

    def temporary_file(dir: str) -> IO[bytes]:  # noqa: A002  (the name that tempfile gives it)
        places.append(dir)
        if dir == "/dev/shm":
            raise OSError(errno.ENOSPC, "full")
        return TemporaryFile(dir=tmp_path)

    monkeypatch.setattr("async_backup.slots.tempfile.TemporaryFile", temporary_file)
    slots = Slots(2, slot_size(SEGMENT))
    slots.close()
    assert places == ["/dev/shm", tempfile.gettempdir()]


@given(st.integers(64 << 10, 256 << 20))
def test_a_slot_has_room_for_data_that_does_not_shrink(segment_size: int) -> None:
    size = slot_size(segment_size)
    assert size % 4096 == 0
    assert size >= segment_size * 1.25 + (256 << 10)
