"""Connections and channels: as many as the server lets us have, and new ones for those that are lost."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from anyio import create_task_group, fail_after, sleep

from async_backup.config import Verify
from async_backup.errors import ConnectionDropped, RemoteError, Unreachable
from async_backup.remote.ssh import watch
from tests.conftest import need_sshd
from tests.embedded import embedded_server
from tests.file_faults import Hang
from tests.proxy import BlackHole, Cut, FaultProxy, Refuse
from tests.shell_faults import CountShells, SlowDigest
from tests.stores import FEW, DiskWorld, calm_sshd, login, on_sshd, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from async_backup.config import Limits
    from async_backup.remote.store import SftpStore
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

CONTENT = random.Random(9).randbytes(2_000_000)
DIGEST = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
ONE = replace(FEW, connections=1, channels=1)


@pytest.fixture(autouse=True)
def fast_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data under way gives an answer no time worth mentioning."""
    monkeypatch.setattr(watch, "_SLOWEST_RATE", 1 << 30)


async def until(is_so: Callable[[], bool]) -> None:
    with fail_after(20):
        while not is_so():  # noqa: ASYNC110  (what is waited for happens in other processes)
            await sleep(0.01)


async def put(store: SftpStore, path: bytes) -> None:
    file = await store.create(path)
    async with create_task_group() as tasks:
        for start in range(0, len(CONTENT), 200_000):
            tasks.start_soon(file.write, start, CONTENT[start : start + 200_000])
    await file.finish()


async def use(store: SftpStore, directory: Path) -> None:
    """All that a backup asks of a store, on several files at once."""
    base = os.fsencode(directory)

    async def store_one(name: bytes) -> None:
        await put(store, base + b"/t" + name)
        assert (await store.digest(base + b"/t" + name, len(CONTENT))).value == DIGEST
        await store.rename(base + b"/t" + name, base + b"/" + name)

    async with create_task_group() as tasks:
        for name in (b"a", b"b", b"c", b"d"):
            tasks.start_soon(store_one, name)
    assert DiskWorld(directory).files() == dict.fromkeys((b"a", b"b", b"c", b"d"), CONTENT)


@asynccontextmanager
async def special(base: Path, *options: str, limits: Limits = FEW, timeout: float = 5) -> AsyncIterator[SftpStore]:
    """A store on an OpenSSH server of its own, whose directory is `base`/sshd/backups."""
    need_sshd()
    with calm_sshd(base, options=options) as server, fail_after(60):
        async with opened(on_sshd(server, server.directory), login(server, timeout), limits) as store:
            yield store


@pytest.mark.parametrize(("sessions", "verification"), [(1, "readback"), (2, "md5sum"), (3, "md5sum"), (10, "md5sum")])
async def test_few_sessions_are_enough(tmp_path: Path, sessions: int, verification: str) -> None:
    async with special(tmp_path, f"MaxSessions {sessions}") as store:
        assert store.verification == verification
        await use(store, tmp_path / "sshd" / "backups")


async def test_connections_are_opened_one_after_another(tmp_path: Path) -> None:
    limits = replace(FEW, connections=4)
    async with special(tmp_path, "MaxStartups 1:100:1", limits=limits) as store:
        await until(lambda: len(store._pool.usable_channels()) == 8)
        await use(store, tmp_path / "sshd" / "backups")


@pytest.mark.parametrize("command", ["internal-sftp", "/usr/lib/openssh/sftp-server"])
async def test_an_account_for_sftp_only_is_read_back(tmp_path: Path, command: str) -> None:
    if command.startswith("/") and shutil.which(command) is None:
        pytest.skip(f"no {command} on this machine")
    async with special(tmp_path, f"ForceCommand {command}", timeout=2) as store:
        assert store.verification == "readback"
        assert store.verification_reason
        await use(store, tmp_path / "sshd" / "backups")


@pytest.fixture
def strict_directory() -> Iterator[Path]:
    """A directory all of whose parents only root may change, as ChrootDirectory asks for."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a chroot")
    with tempfile.TemporaryDirectory(dir="/run") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


async def test_sftp_in_a_chroot_is_read_back(tmp_path: Path, strict_directory: Path) -> None:
    need_sshd()
    (strict_directory / "inside").mkdir()
    with calm_sshd(tmp_path, options=[f"ChrootDirectory {strict_directory}"]) as server:
        destination = replace(on_sshd(server, Path("/inside")))
        async with opened(destination, login(server)) as store:
            assert (store.verification, store.directory) == ("readback", b"/inside")
            await put(store, b"/inside/a")
            assert await store.digest(b"/inside/a", len(CONTENT)) == (DIGEST, "readback")
    assert DiskWorld(strict_directory / "inside").files() == {b"a": CONTENT}


def sessions(server: Sshd) -> list[psutil.Process]:
    """The processes that serve SFTP, internally or not; a connection has one for each channel."""
    family = psutil.Process(server.pid).children(recursive=True)
    return [process for process in family if process.name() in {"sshd", "sshd-session"} and not process.children()]


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    need_sshd()
    with calm_sshd(tmp_path, options=["Subsystem sftp internal-sftp"]) as server:
        yield server


@pytest.mark.parametrize("limits", [FEW, ONE], ids=["several", "one"])
async def test_channels_whose_server_process_was_killed_are_replaced(own_sshd: Sshd, limits: Limits) -> None:
    async with opened(on_sshd(own_sshd, own_sshd.directory), login(own_sshd), limits) as store:
        wanted = limits.connections * limits.channels
        await until(lambda: len(store._pool.usable_channels()) == wanted)
        for process in sessions(own_sshd):
            process.send_signal(signal.SIGKILL)
        await use(store, own_sshd.directory)
        await until(lambda: len(store._pool.usable_channels()) == wanted)


@pytest.mark.parametrize("options", [[], ["MaxSessions 1"]], ids=["", "MaxSessions 1"])
async def test_channels_whose_server_process_was_stopped_are_replaced(tmp_path: Path, options: list[str]) -> None:
    need_sshd()
    with calm_sshd(tmp_path, options=options) as server:
        async with opened(on_sshd(server, server.directory), login(server, timeout=1), ONE) as store:
            stopped = sessions(server)
            for process in stopped:
                process.suspend()
            with fail_after(30):
                await use(store, server.directory)
        assert stopped


@pytest.mark.parametrize("reset", [True, False])
async def test_a_connection_cut_in_the_middle_is_replaced_and_its_bytes_sent_again(
    sshd: Sshd, reset: bool, tmp_path: Path
) -> None:
    async with FaultProxy(sshd.port) as proxy:
        destination = on_sshd(sshd, tmp_path, port=proxy.port)
        async with opened(destination, login(sshd), replace(FEW, retries=8)) as store:
            proxy.fault = Cut(after=1_000_000, reset=reset, once=True)
            await use(store, tmp_path)
    assert proxy.fired == 1
    assert proxy.connections == 3


async def test_what_a_server_copies_goes_on_after_a_lost_connection(sshd: Sshd, tmp_path: Path) -> None:
    DiskWorld(tmp_path).put(b"old", CONTENT)
    async with opened(on_sshd(sshd, tmp_path), login(sshd)) as store:
        base = os.fsencode(tmp_path)
        reader, file = await store.open(base + b"/old"), await store.create(base + b"/new")
        await file.copy(0, reader, 0, 1_000_000)
        for channel in store._pool.usable_channels():
            channel.connection.abort()
        await file.copy(1_000_000, reader, 1_000_000, len(CONTENT) - 1_000_000)
        await file.finish()
        await reader.close()
    assert DiskWorld(tmp_path).files() == {b"old": CONTENT, b"new": CONTENT}


async def test_when_connections_fall_silent_new_ones_take_over(sshd: Sshd, tmp_path: Path) -> None:
    limits = replace(FEW, connections=2, retries=8)
    async with FaultProxy(sshd.port) as proxy:
        destination = on_sshd(sshd, tmp_path, port=proxy.port)
        async with opened(destination, login(sshd, timeout=0.5), limits) as store:
            await until(lambda: len(store._pool.usable_channels()) == 4)
            silent = [link.connection for link in store._pool._links]
            proxy.fault = BlackHole()
            async with create_task_group() as tasks:
                tasks.start_soon(put, store, os.fsencode(tmp_path) + b"/a")
                await until(lambda: not any(connection.is_usable for connection in silent))
                proxy.fault = None
    assert DiskWorld(tmp_path).files() == {b"a": CONTENT}


async def test_a_connection_is_given_up_when_all_its_channels_are_silent(tmp_path: Path) -> None:
    async with (
        embedded_server(tmp_path, Hang(after=7)) as server,
        opened(server.destination(), server.ssh(timeout=0.5), replace(ONE, retries=0)) as store,
    ):
        (link,) = store._pool._links
        with pytest.raises(ConnectionDropped, match="no answer"):
            await store.create(b"/a")
        assert not link.connection.is_usable
        assert await store.entries(b"/") == []


async def test_a_server_that_hangs_up_on_the_first_call_is_called_again(sshd: Sshd, tmp_path: Path) -> None:
    async def relent() -> None:
        await until(lambda: proxy.fired > 0)
        proxy.fault = None

    async with FaultProxy(sshd.port, fault=Refuse()) as proxy, create_task_group() as tasks:
        tasks.start_soon(relent)
        async with opened(on_sshd(sshd, tmp_path, port=proxy.port), login(sshd)) as store:
            await put(store, os.fsencode(tmp_path) + b"/a")
    assert DiskWorld(tmp_path).files() == {b"a": CONTENT}


@pytest.mark.parametrize("after", range(1400, 3000, 200))
async def test_a_connection_that_is_lost_before_anything_is_open_is_replaced(
    sshd: Sshd, tmp_path: Path, after: int
) -> None:
    async with FaultProxy(sshd.port, fault=Cut(after, once=True)) as proxy:
        async with opened(on_sshd(sshd, tmp_path, port=proxy.port), login(sshd), ONE) as store:
            await put(store, os.fsencode(tmp_path) + b"/a")
        assert proxy.fired == 1
    assert DiskWorld(tmp_path).files() == {b"a": CONTENT}


async def test_a_server_that_takes_no_further_connection_is_used_with_those_there_are(
    sshd: Sshd, tmp_path: Path
) -> None:
    async with FaultProxy(sshd.port) as proxy:
        destination = on_sshd(sshd, tmp_path, port=proxy.port)
        async with opened(destination, login(sshd), replace(FEW, connections=1)) as first:
            first._pool._wanted_connections = 4
            proxy.fault = Refuse()
            first._pool._loss.set()
            await until(lambda: first._pool._wanted_connections == 1)
            await use(first, tmp_path)
    assert proxy.fired >= 1 + FEW.retries


async def test_when_no_connection_is_left_everybody_is_told_why(sshd: Sshd, tmp_path: Path) -> None:
    errors: list[RemoteError] = []

    async def ask(store: SftpStore) -> None:
        with pytest.raises(RemoteError) as raised:
            await store.entries(os.fsencode(tmp_path))
        errors.append(raised.value)

    async with FaultProxy(sshd.port) as proxy:
        destination = on_sshd(sshd, tmp_path, port=proxy.port)
        async with opened(destination, login(sshd), ONE) as store:
            proxy.fault = Refuse()
            for channel in store._pool.usable_channels():
                channel.connection.abort()
            with fail_after(20):
                async with create_task_group() as tasks:
                    for _ in range(5):
                        tasks.start_soon(ask, store)
    assert all(isinstance(error, Unreachable) for error in errors)
    assert len(errors) == 5
    assert len({id(error) for error in errors}) == 5
    assert all("closed the connection" in str(error) for error in errors)


async def test_a_server_that_is_gone_for_good_is_an_error_and_not_a_hang(sshd: Sshd, tmp_path: Path) -> None:
    async with FaultProxy(sshd.port) as proxy:
        destination = on_sshd(sshd, tmp_path, port=proxy.port)
        async with opened(destination, login(sshd, timeout=0.5), replace(ONE, retries=1)) as store:
            proxy.fault = BlackHole()
            with pytest.raises((ConnectionDropped, Unreachable)), fail_after(20):
                await put(store, os.fsencode(tmp_path) + b"/a")
    assert proxy.fired


async def test_digests_asked_for_at_once_use_one_shell_a_connection(tmp_path: Path) -> None:
    shells, slow = CountShells(), SlowDigest(together=2)
    async with (
        embedded_server(tmp_path, shells, slow) as server,
        opened(server.destination(), server.ssh(), verify=Verify.COMMAND) as store,
    ):
        (tmp_path / "root" / "a").write_bytes(CONTENT)
        await until(lambda: len(store._pool.usable_channels()) == 4)
        async with create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(store.digest, b"/a", len(CONTENT))
    assert shells.fired == 2


async def test_nothing_of_a_store_outlives_it(own_sshd: Sshd) -> None:
    async with opened(on_sshd(own_sshd, own_sshd.directory), login(own_sshd)) as store:
        await use(store, own_sshd.directory)
    await until(lambda: not psutil.Process(own_sshd.pid).children())
