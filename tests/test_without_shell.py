"""Servers without a shell compute digests all the same, where they can: by SFTP's check-file, or by lone commands."""

from __future__ import annotations

import os
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from anyio import Event, create_task_group, fail_after, move_on_after, sleep, sleep_forever

from async_backup.config import Limits, Verify
from async_backup.errors import NoDigestCommand
from async_backup.remote.ssh.check_file import check_file
from async_backup.remote.store import open_store
from tests.conftest import need_sshd
from tests.digest_servers import ChecksFiles, LoneCommands, as_proftpd, as_the_draft
from tests.embedded import embedded_server
from tests.other_servers import need
from tests.remote_contract import md5
from tests.shell_faults import ShellWithoutAnswer
from tests.stores import FEW, RUN, calm_sshd, login, on_sshd, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.store import SftpStore
    from tests.embedded import Fault

pytestmark = pytest.mark.anyio

LARGE = random.Random(1).randbytes(40 << 20)
"""More than is asked for between other requests."""


@asynccontextmanager
async def served(
    base: Path, fault: Fault, *, verify: Verify = Verify.AUTO, limits: Limits = FEW, timeout: float = 2
) -> AsyncIterator[SftpStore]:
    """A store on our server with that fault, whose directory is `base`/server/root."""
    with fail_after(30):
        async with (
            embedded_server(base / "server", fault) as server,
            opened(server.destination(), server.ssh(timeout), limits, verify=verify) as store,
        ):
            yield store


def made(base: Path, name: str, content: bytes) -> bytes:
    """A file on our server; returns the path by which clients call it."""
    (base / "server" / "root" / name).write_bytes(content)
    return b"/" + name.encode()


@pytest.mark.parametrize("answer", [as_proftpd, as_the_draft])
async def test_sftp_is_asked_for_digests(tmp_path: Path, answer: object) -> None:
    async with served(tmp_path, ChecksFiles(tmp_path / "server/root", answer)) as store:  # type: ignore[arg-type]
        assert (store.verification, store.verification_reason) == ("check-file", "")
        path = made(tmp_path, "a; rm -rf", b"content")
        assert await store.digest(path, 7) == (md5(b"content"), "check-file")
    assert os.listdir(tmp_path / "server/root") == ["a; rm -rf"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda _, digest: as_proftpd("md5", digest[::-1]),
        lambda _, digest: as_proftpd("sha1", digest),
        lambda _, digest: as_proftpd("md5", digest * 2),
        lambda _, digest: as_proftpd("md5", digest[:15]),
        lambda *_: as_proftpd("md5", b""),
        lambda *_: b"",
        lambda *_: b"\xff\xff\xff\xffmd5",
    ],
    ids=["wrong", "another hash", "two", "short", "none", "nothing", "no string"],
)
async def test_what_gives_no_right_digest_of_known_bytes_is_not_used(tmp_path: Path, answer: object) -> None:
    async with served(tmp_path, ChecksFiles(tmp_path / "server/root", answer)) as store:  # type: ignore[arg-type]
        assert store.verification == "readback"
        assert "SFTP only" in store.verification_reason
        path = made(tmp_path, "a", b"content")
        assert await store.digest(path, 7) == (md5(b"content"), "readback")


async def test_a_large_file_is_asked_for_on_a_connection_of_its_own(tmp_path: Path) -> None:
    fault = ChecksFiles(tmp_path / "server/root")
    async with served(tmp_path, fault) as store:
        path = made(tmp_path, "large", LARGE)
        assert await store.digest(path, len(LARGE)) == (md5(LARGE), "check-file")
        own = store._pool._hashing
        assert own
        assert own.channels[0] not in store._pool.usable_channels()
        own.connection.abort()
        assert await store.digest(path, len(LARGE)) == (md5(LARGE), "check-file")
        assert store._pool._hashing is not own
    assert os.listdir(tmp_path / "server/root") == ["large"]


async def test_a_digest_that_never_comes_is_read_back_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("async_backup.remote.pool.SLOWEST_HASHING", 1 << 30)
    monkeypatch.setattr("async_backup.remote.retry._FIRST_PAUSE", 0.01)
    async with served(tmp_path, ChecksFiles(tmp_path / "server/root", silent_from=2), timeout=0.5) as store:
        path = made(tmp_path, "large", LARGE)
        assert await store.digest(path, len(LARGE)) == (md5(LARGE), "readback")
        assert len(store._pool.usable_channels()) > 0


async def test_commands_run_by_themselves_where_no_shell_stays(tmp_path: Path) -> None:
    fault = LoneCommands(tmp_path / "server/root", "md5 -q", "md5sum")
    async with served(tmp_path, fault) as store:
        assert (store.verification, store.verification_reason) == ("md5sum", "")
        path = made(tmp_path, "a.tar.gz", b"content")
        assert await store.digest(path, 1 << 20) == (md5(b"content"), "md5sum")
        assert fault.lines[0] == "exec sh"
        assert fault.lines[-1] == "md5sum /a.tar.gz"


async def test_the_command_of_bsd_is_found(tmp_path: Path) -> None:
    fault = LoneCommands(tmp_path / "server/root", "md5 -q")
    async with served(tmp_path, fault, verify=Verify.COMMAND) as store:
        assert store.verification == "md5 -q"


@pytest.mark.parametrize("with_several", [True, False])
async def test_small_files_are_asked_for_together_where_the_server_takes_that(
    tmp_path: Path, *, with_several: bool
) -> None:
    fault = LoneCommands(tmp_path / "server/root", "md5sum", with_several=with_several)
    async with served(tmp_path, fault) as store:
        paths = [made(tmp_path, f"{number}.gz", b"%d" % number) for number in range(20)]
        found = []

        async def ask(path: bytes) -> None:
            found.append((path, await store.digest(path, 2)))

        async with create_task_group() as tasks:
            for path in paths:
                tasks.start_soon(ask, path)
        assert sorted(found) == sorted((path, (md5(path[1:-3]), "md5sum")) for path in paths)
    assert any(line.count("/") > 1 for line in fault.lines)
    assert len(fault.lines) < 10 or not with_several


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("-n", "md5sum /-n"),
        ("a b", "md5sum /a\\ b"),
        ("[a]", "md5sum /\\[a\\]"),
        ("me@here:80=1+1,2", "md5sum /me@here:80=1+1,2"),
        ("\u00fc", "md5sum /\u00fc"),
    ],
)
async def test_without_a_shell_names_that_do_no_harm_are_handed_to_commands(
    tmp_path: Path, name: str, line: str
) -> None:
    fault = LoneCommands(tmp_path / "server/root", "md5sum")
    async with served(tmp_path, fault) as store:
        path = made(tmp_path, name, b"content")
        assert await store.digest(path, 1 << 20) == (md5(b"content"), "md5sum")
    assert fault.lines[-1] == line


@pytest.mark.parametrize(
    "name", ["a;id", "$(id)", "a\nb", "a'b", 'a"b', "*", "a&id", "a|id", "{a,b}", "a!b", "a\\b", "%a%"]
)
async def test_without_a_shell_all_other_names_are_read_back(tmp_path: Path, name: str) -> None:
    fault = LoneCommands(tmp_path / "server/root", "md5sum")
    async with served(tmp_path, fault) as store:
        lines = len(fault.lines)
        path = made(tmp_path, name, b"content")
        assert await store.digest(path, 7) == (md5(b"content"), "readback")
        assert fault.lines[lines:] == []


async def test_where_a_command_is_insisted_on_other_names_fail(tmp_path: Path) -> None:
    async with served(tmp_path, LoneCommands(tmp_path / "server/root", "md5sum"), verify=Verify.COMMAND) as store:
        path = made(tmp_path, "a;b", b"content")
        with pytest.raises(NoDigestCommand, match="such a file"):
            await store.digest(path, 7)


@pytest.mark.parametrize("sessions", [2, 3])
async def test_a_command_by_itself_takes_the_session_of_a_channel(tmp_path: Path, sessions: int) -> None:
    need_sshd()
    only = tmp_path / "only"
    only.write_text(
        '#!/bin/sh\ncase "$SSH_ORIGINAL_COMMAND" in\n"md5sum /"*) exec $SSH_ORIGINAL_COMMAND ;;\n'
        "*sftp*) exec /usr/lib/openssh/sftp-server ;;\nesac\nexit 1\n"
    )
    only.chmod(0o755)
    need("/usr/lib/openssh/sftp-server", "openssh-sftp-server")
    options = [f"MaxSessions {sessions}", f"ForceCommand {only}", "Subsystem sftp /usr/lib/openssh/sftp-server"]
    limits = replace(FEW, channels=sessions)
    with calm_sshd(tmp_path, options=options) as server, fail_after(60):
        where = on_sshd(server, server.directory)
        async with opened(where, login(server), limits, verify=Verify.COMMAND) as store:
            await sleep(0.5)
            made = server.directory / "a.gz"
            made.write_bytes(LARGE)
            for _ in range(4):
                assert await store.digest(os.fsencode(made), len(LARGE)) == (md5(LARGE), "md5sum")
            assert {len(link.channels) for link in store._pool._links} <= set(range(1, sessions + 1))
            assert all(channel.is_usable for link in store._pool._links for channel in link.channels)
    assert [path.name for path in server.directory.iterdir()] == ["a.gz"]


async def test_a_connection_lost_while_the_way_is_looked_for_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("async_backup.remote.retry._FIRST_PAUSE", 0.01)
    lost: list[Channel] = []

    async def losing(channel: Channel, path: bytes, algorithm: str, size: int = 0) -> str:
        if not lost:
            lost.append(channel)
            channel.connection.abort()
        return await check_file(channel, path, algorithm, size)

    monkeypatch.setattr("async_backup.remote.check_file.check_file", losing)
    async with served(tmp_path, ChecksFiles(tmp_path / "server/root"), verify=Verify.COMMAND) as store:
        assert store.verification == "check-file"
    assert lost
    assert os.listdir(tmp_path / "server/root") == []


async def test_a_run_that_is_stopped_while_it_tries_the_server_out_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "server/root"
    with fail_after(20):
        async with embedded_server(tmp_path / "server", ShellWithoutAnswer()) as server:
            where, ssh = server.destination(), server.ssh(10)
            for _ in range(8):
                with move_on_after(0.3) as scope:
                    async with open_store(where, ssh, FEW, algorithm="md5", verify=Verify.AUTO) as store:
                        await store.try_out(RUN)
                assert scope.cancelled_caught
                assert list(root.iterdir()) == []


async def test_a_run_that_is_stopped_while_channels_are_still_opened_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = asyncssh.SSHClientConnection.start_sftp_client, Event()

    async def start_one(connection: asyncssh.SSHClientConnection, **options: Any) -> asyncssh.SFTPClient:
        if started.is_set():
            await sleep_forever()
        started.set()
        return await start(connection, **options)

    monkeypatch.setattr(asyncssh.SSHClientConnection, "start_sftp_client", start_one)
    with fail_after(20):
        async with embedded_server(tmp_path / "server", ShellWithoutAnswer()) as server:
            where, ssh = server.destination(), server.ssh(10)
            with move_on_after(1) as scope:
                async with open_store(where, ssh, FEW, algorithm="md5", verify=Verify.AUTO) as store:
                    await store.try_out(RUN)
            assert scope.cancelled_caught
    assert list((tmp_path / "server/root").iterdir()) == []
