"""Real servers that are not OpenSSH: ProFTPD and rclone compute digests their ways, and get files as they take them."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from anyio import create_task_group, fail_after

from async_backup.backing_up import backup
from async_backup.config import Settings, Verify
from tests.embedded import embedded_server
from tests.file_faults import DropConnection, InOrderOnly
from tests.other_servers import running_proftpd, running_rclone
from tests.processes import kill_tree
from tests.remote_contract import md5
from tests.stores import FEW, all_channels, login, on_sshd, opened

pytestmark = pytest.mark.anyio

LARGE = random.Random(1).randbytes(40 << 20)
"""More than is asked for between other requests."""


async def test_rclone_computes_digests_by_lone_commands(tmp_path: Path) -> None:
    with running_rclone(tmp_path) as server, fail_after(60):
        names = ["a.gz", "a b [c] \u00fc,:=@+.gz"]
        for name in names:
            (tmp_path / "root" / name).write_bytes(LARGE)
        async with opened(on_sshd(server, Path("/")), login(server)) as store:
            assert store.verification == "md5sum"
            for name in names:
                assert await store.digest(b"/" + name.encode(), len(LARGE)) == (md5(LARGE), "md5sum")
    assert sorted(os.listdir(tmp_path / "root")) == sorted(names)


@pytest.mark.parametrize("mode", ["off", "writes"])
async def test_rclone_is_given_files_from_their_beginning_to_their_end(tmp_path: Path, mode: str) -> None:
    starts = list(range(0, len(LARGE), 5 << 20))
    with running_rclone(tmp_path, "--vfs-cache-mode", mode) as server, fail_after(60):
        async with opened(on_sshd(server, Path("/")), login(server)) as store:
            assert store.is_in_order
            file = await store.create(b"/large")
            async with create_task_group() as tasks:
                for start in reversed(starts):
                    tasks.start_soon(file.write, start, memoryview(LARGE)[start : start + (5 << 20)])
            await file.finish()
            assert (await store.digest(b"/large", len(LARGE))).value == md5(LARGE)


async def test_a_reason_is_told_only_where_files_are_read_back(tmp_path: Path) -> None:
    with running_rclone(tmp_path) as server, fail_after(60):
        async with opened(on_sshd(server, Path("/")), login(server)) as store:
            assert (store.is_in_order, store.verification, store.verification_reason) == (True, "md5sum", "")


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
async def test_proftpd_computes_digests_by_sftp(tmp_path: Path, algorithm: str) -> None:
    with running_proftpd(tmp_path) as server, fail_after(60):
        (tmp_path / "stored").mkdir()
        async with opened(on_sshd(server, Path("/stored")), login(server), algorithm=algorithm) as store:
            assert store.verification == "check-file"
    assert os.listdir(tmp_path / "stored") == []


@pytest.mark.parametrize("connections", [1, 2])
async def test_without_a_further_connection_one_of_ours_is_used(tmp_path: Path, connections: int) -> None:
    limits = replace(FEW, connections=connections, channels=1)
    with running_proftpd(tmp_path, options=[f"MaxClientsPerHost {connections}"]) as server, fail_after(60):
        (tmp_path / "a").write_bytes(LARGE)
        async with opened(on_sshd(server, Path("/")), login(server), limits, verify=Verify.COMMAND) as store:
            await all_channels(store, limits)
            async with create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(store.digest, b"/a", len(LARGE))
            assert await store.digest(b"/a", len(LARGE)) == (md5(LARGE), "check-file")
            assert len(store._pool.usable_channels()) == 1
            file = await store.create(b"/b")
            await file.write(0, LARGE)
            await file.finish()
            assert await store.digest(b"/b", len(LARGE)) == (md5(LARGE), "check-file")
    assert (tmp_path / "b").read_bytes() == LARGE


async def test_a_process_of_proftpd_that_dies_while_it_hashes_costs_nothing(tmp_path: Path) -> None:
    with running_proftpd(tmp_path) as server, fail_after(60):
        (tmp_path / "a").write_bytes(LARGE)
        async with opened(on_sshd(server, Path("/")), login(server)) as store:
            assert (await store.digest(b"/a", len(LARGE))).computed_by == "check-file"
            assert store._pool._hashing
            own = store._pool._hashing.connection._connection.get_extra_info("sockname")[1]
            kill_tree(_server_of(own))
            assert await store.digest(b"/a", len(LARGE)) == (md5(LARGE), "check-file")


def _server_of(port: int) -> int:
    """The process that serves the client with that port."""
    return next(
        found.pid
        for found in psutil.net_connections("tcp")
        if found.raddr and found.raddr.port == port and found.pid and found.pid != os.getpid()
    )


async def test_a_file_that_is_written_in_order_is_begun_anew_after_a_lost_connection(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / f"entry-{number}").write_bytes(LARGE[number : number + (12 << 20)])
    async with embedded_server(tmp_path / "server", InOrderOnly(), DropConnection(after=11_000_000)) as server:
        limits = replace(FEW, segment_size=1 << 20, retries=9)
        settings = Settings((source,), (server.destination(),), server.ssh(), limits)
        report = await backup(settings)
    assert (report.exit_code, len(report.committed), report.leftovers) == (0, 3, ())
    assert any(outcome.attempts > 1 for outcome in report.committed)
    names = sorted(path.name for path in (tmp_path / "server" / "root").iterdir())
    assert [name.endswith((".gz", ".md5")) for name in names] == [True] * 6
