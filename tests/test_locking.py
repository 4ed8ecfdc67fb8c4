"""One run at a time, between real processes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from async_backup.errors import ExitCode, Locked
from async_backup.locking import held, lock_name
from tests.processes import descendants, kill_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "nightly-0.lock"
NO_WAIT = 0.0
LONG = 60.0


class Holder:
    """Another process that takes the lock, or tries to."""

    def __init__(self, directory: Path, wait: float, mode: str) -> None:
        command = [sys.executable, "-m", "tests.holder", str(directory), NAME, str(wait), mode]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self) -> list[Any]:
        assert self.process.stdout is not None
        said: list[Any] = json.loads(self.process.stdout.readline())
        return said

    def let_go(self) -> None:
        self.process.communicate(timeout=30)


@contextmanager
def holder(directory: Path, wait: float = NO_WAIT, mode: str = "plain") -> Iterator[Holder]:
    started = Holder(directory, wait, mode)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            kill_tree(started.process.pid)
        started.process.communicate()


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def hold(directory: Path, *names: str, wait: float = NO_WAIT) -> list[str]:
    """Hold the locks for a moment; what was told meanwhile."""
    told: list[str] = []
    async with held(directory, names or [NAME], what="nightly to nas:/b", wait=wait, tell=told.append):
        await checkpoint()
    return told


@pytest.mark.anyio
async def test_a_second_run_is_refused_and_told_who_holds_the_lock_since_when(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        assert first.says() == ["held", ""]
        with pytest.raises(Locked) as refused:
            await hold(tmp_path)
        pid = first.process.pid
    assert refused.value.exit_code is ExitCode.LOCKED
    assert "another run of nightly to nas:/b has been under way since 20" in str(refused.value)
    assert f"process {pid}; nothing was done (--lock-wait 10m would wait" in str(refused.value)


@pytest.mark.anyio
async def test_a_run_that_has_ended_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.says()
        first.let_go()
    assert await hold(tmp_path) == []
    assert await hold(tmp_path) == []


@pytest.mark.anyio
async def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.says()
        first.process.kill()
        first.process.wait()
        assert await hold(tmp_path) == []


@pytest.mark.anyio
async def test_a_stopped_run_still_holds_its_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.says()
        with stopped(first.process.pid), pytest.raises(Locked):
            await hold(tmp_path)


@pytest.mark.anyio
async def test_a_hook_that_outlives_a_killed_run_keeps_no_lock(tmp_path: Path) -> None:
    with holder(tmp_path, mode="hook") as first:
        _, child = first.says()
        first.says()
        first.process.kill()
        first.process.wait()
        try:
            os.kill(child, 0)
            assert await hold(tmp_path) == []
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.anyio
async def test_packing_processes_that_outlive_a_killed_run_keep_no_lock(tmp_path: Path) -> None:
    with holder(tmp_path, mode="workers") as first:
        first.says()
        children = descendants(first.process.pid)
        assert children
        with stopped(*children):
            first.process.kill()
            first.process.wait()
            assert await hold(tmp_path) == []


def test_a_run_that_waits_says_so_once_and_begins_when_the_other_ends(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        assert first.says() == ["held", ""]
        with holder(tmp_path, wait=LONG) as second:
            kind, text = second.says()
            assert kind == "told"
            assert f"process {first.process.pid}; waiting for it, 60 s at most" in text
            first.let_go()
            assert second.says() == ["held", ""]


def test_a_run_that_waited_in_vain_is_refused(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.says()
        with holder(tmp_path, wait=0.1) as second:
            assert second.says()[0] == "told"
            kind, text = second.says()
    assert kind == "locked"
    assert text.endswith("still after 0.1 s; nothing was done")


@pytest.mark.anyio
async def test_waiting_can_be_cancelled(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.says()
        with anyio.CancelScope() as scope:
            async with held(tmp_path, [NAME], what="x", wait=LONG, tell=lambda _: scope.cancel()):
                pytest.fail("the lock is held by another process")
        assert scope.cancelled_caught
        first.let_go()
    assert await hold(tmp_path) == []


@pytest.mark.anyio
async def test_several_locks_are_held_together_or_not_at_all(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.says()
        with pytest.raises(Locked):
            await hold(tmp_path, "a.lock", NAME, "z.lock")
        assert await hold(tmp_path, "a.lock", "z.lock") == []


@pytest.mark.anyio
async def test_what_a_dead_process_left_in_the_file_is_not_told_as_the_holder(tmp_path: Path) -> None:
    with holder(tmp_path) as dead:
        dead.says()
        dead.process.kill()
        dead.process.wait()
    lock = os.open(tmp_path / NAME, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with pytest.raises(Locked, match="another run of nightly to nas:/b has just begun; nothing was done"):
            await hold(tmp_path)
    finally:
        os.close(lock)


@pytest.mark.anyio
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"pid": "x"}', b"\xff" * 9000])
async def test_a_lock_file_that_says_nothing_useful_still_locks(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with (tmp_path / NAME).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Locked, match="has just begun"):
            await hold(tmp_path)
    assert await hold(tmp_path) == []


@pytest.mark.anyio
async def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    assert await hold(tmp_path / "state" / "locks") == []
    assert (tmp_path / "state" / "locks").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "locks" / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.anyio
async def test_where_no_lock_can_be_had_the_run_goes_on_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (warning,) = await hold(tmp_path / "file" / "locks")
    assert warning.startswith(f"warning: {tmp_path}/file/locks/{NAME} cannot be locked (Not a directory); another run")


@pytest.mark.anyio
async def test_a_link_in_place_of_the_lock_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / NAME).symlink_to("precious")
    assert len(await hold(tmp_path)) == 1
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.anyio
async def test_a_file_system_without_locks_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    (warning,) = await hold(tmp_path)
    assert "No locks available" in warning


def test_a_name_stands_for_one_profile_or_sources_and_one_destination() -> None:
    names = [
        lock_name("nightly", [], "nas:/b"),
        lock_name("nightly", [], "nas:/c"),
        lock_name("weekly", [], "nas:/b"),
        lock_name(None, [Path("/nightly")], "nas:/b"),
        lock_name(None, [Path("/a"), Path("/b")], "nas:/b"),
    ]
    assert len(set(names)) == len(names)
    assert lock_name("nightly", [Path("/a")], "nas:/b") == names[0]
    assert lock_name(None, [Path("/b/."), Path("/a")], "nas:/b") == names[-1]


@given(st.none() | st.text(), st.text())
def test_any_profile_and_destination_give_a_safe_file_name(profile: str | None, destination: str) -> None:
    name = lock_name(profile, [Path("/srv")], destination)
    assert len(name) < 80
    assert name.isascii()
    assert not set(name) & set("/\0\n ")
    assert not name.startswith(".")
