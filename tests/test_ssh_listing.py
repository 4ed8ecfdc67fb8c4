"""A directory is listed in few round trips, whole, and closed, whatever happens on the way."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from anyio import create_task_group, fail_after, sleep

from async_backup.errors import RemoteError, RemoteNotFound
from async_backup.remote.ssh.listing import Listing
from tests.embedded import embedded_server
from tests.stores import calm_sshd, dialled, login, on_sshd

pytestmark = pytest.mark.anyio

IS_LINUX = Path("/proc/self/fd").exists()


def holders(directory: Path) -> int:
    """How many descriptors of all processes are open on a directory."""
    count = 0
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            status = descriptor.stat()
            count += stat.S_ISDIR(status.st_mode) and os.path.samestat(status, directory.stat())
    return count


@pytest.mark.skipif(not IS_LINUX, reason="no /proc on this machine")
async def test_openssh_is_asked_ahead_and_every_directory_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "many"
    directory.mkdir()
    names = {b"%d" % number for number in range(1234)}
    for name in names:
        (directory / name.decode()).touch()
    rounds = []
    read_some = Listing._read_some

    async def noted(listing: Listing, handle: bytes, requests: int) -> None:
        rounds.append(requests)
        await read_some(listing, handle, requests)

    monkeypatch.setattr(Listing, "_read_some", noted)
    with calm_sshd(tmp_path / "server") as server, fail_after(30):
        async with dialled(on_sshd(server, directory), login(server)) as connection:
            channel = await connection.open_channel()
            assert {entry.name for entry in await channel.entries(os.fsencode(directory))} == names
            assert rounds == [2, 4, 8]
            async with create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(channel.entries, os.fsencode(directory))
                await sleep(0.01)
                tasks.cancel_scope.cancel()
            assert {entry.name for entry in await channel.entries(os.fsencode(directory))} == names
            while holders(directory):  # closed when the server gets to it  # noqa: ASYNC110
                await sleep(0.01)


async def test_what_is_no_directory_is_an_error_and_the_channel_lives_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with calm_sshd(tmp_path / "server") as server, fail_after(30):
        async with dialled(on_sshd(server, tmp_path), login(server)) as connection:
            channel = await connection.open_channel()
            with pytest.raises(RemoteNotFound):
                await channel.entries(os.fsencode(tmp_path / "missing"))
            with pytest.raises(RemoteError):
                await channel.entries(os.fsencode(tmp_path / "file"))
            assert b"file" in {entry.name for entry in await channel.entries(os.fsencode(tmp_path))}


async def test_another_server_is_asked_for_one_thing_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Listing, "read")
    async with (
        embedded_server(tmp_path) as server,
        dialled(server.destination(b"/"), server.ssh(10)) as connection,
    ):
        for number in range(300):
            (tmp_path / "root" / str(number)).touch()
        channel = await connection.open_channel()
        assert len(await channel.entries(b"/")) == 300
