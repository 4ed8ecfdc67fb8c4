"""One connection: its channels, its shell, and the watch that ends what gives no answer."""

from __future__ import annotations

import hashlib
from asyncio import Timeout, timeout
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from anyio import (
    CancelScope,
    create_task_group,
    fail_after,
    move_on_after,
    sleep,
    sleep_forever,
    wait_all_tasks_blocked,
)

from async_backup.config import Verify
from async_backup.demo.files import DemoFiles
from async_backup.errors import ConnectionDropped, NoSession, RemoteError, RemoteNotFound, Unreachable
from async_backup.remote.ssh import watch
from async_backup.remote.ssh.channel import OpenFlags
from async_backup.remote.ssh.watch import Watch
from tests.conftest import need_sshd
from tests.embedded import Fault, embedded_server
from tests.file_faults import CountHandles, Hang
from tests.proxy import BlackHole, FaultProxy
from tests.stores import FEW, calm_sshd, dialled, login, on_sshd, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from async_backup.remote.ssh.shell import Shell
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def real_shell(sshd: Sshd) -> AsyncIterator[Shell]:
    with fail_after(30):
        async with dialled(on_sshd(sshd, sshd.directory), login(sshd)) as connection:
            yield await connection.open_shell()


async def test_a_channel_that_ends_while_it_is_opened_is_a_lost_connection(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = asyncssh.SSHClientConnection.start_sftp_client

    async def start_and_lose(connection: asyncssh.SSHClientConnection, **options: Any) -> asyncssh.SFTPClient:
        sftp = await start(connection, **options)
        connection.abort()
        await connection.wait_closed()
        return sftp

    monkeypatch.setattr(asyncssh.SSHClientConnection, "start_sftp_client", start_and_lose)
    async with dialled(on_sshd(sshd, sshd.directory), login(sshd)) as connection:
        with pytest.raises(ConnectionDropped):
            await connection.open_channel()


@pytest.mark.parametrize(
    ("command", "status", "output"),
    [
        (b"true", 0, b"\n"),
        (b"false", 1, b"\n"),
        (b"(exit 7)", 7, b"\n"),
        (b"no-such-command-at-all 2>/dev/null", 127, b"\n"),
        (b"sh -c 'kill -9 $$'", 137, None),
        (b"printf no-break", 0, b"no-break\n"),
        (b"echo out; echo err >&2", 0, b"out\nerr\n\n"),
        (b"cat; echo read", 0, b"read\n\n"),
        (b"echo some; false", 1, b"some\n\n"),
    ],
)
async def test_a_shell_tells_status_and_output(sshd: Sshd, command: bytes, status: int, output: bytes | None) -> None:
    async with real_shell(sshd) as shell:
        answer = await shell.run(command, 10)
        assert answer.status == status
        assert output in {answer.output, None}
        assert shell.is_usable


async def test_a_shell_runs_one_command_after_the_other(sshd: Sshd) -> None:
    async with real_shell(sshd) as shell, create_task_group() as tasks:

        async def ask(number: bytes) -> None:
            assert (await shell.run(b"echo %b" % number, 10)).output.strip() == number

        for i in range(30):
            tasks.start_soon(ask, b"%d" % i)


async def test_a_command_without_end_ends_the_shell_and_not_the_connection(sshd: Sshd) -> None:
    async with dialled(on_sshd(sshd, sshd.directory), login(sshd)) as connection:
        shell = await connection.open_shell()
        with pytest.raises(ConnectionDropped, match="no answer"), fail_after(10):
            await shell.run(b"sleep 60", 0.3)
        with pytest.raises(ConnectionDropped, match="closed"):
            await shell.run(b"true", 10)
        assert (await (await connection.open_shell()).run(b"true", 10)).status == 0


async def test_a_cancelled_command_ends_the_shell(sshd: Sshd) -> None:
    async with real_shell(sshd) as shell:
        with move_on_after(0.1):
            await shell.run(b"sleep 60", 30)
        assert not shell.is_usable


async def test_a_command_that_prints_too_much_is_an_error(sshd: Sshd) -> None:
    async with real_shell(sshd) as shell:
        with pytest.raises(RemoteError, match="too much"):
            await shell.run(b"head -c 3000000 /dev/zero", 10)
        assert not shell.is_usable


@pytest.mark.parametrize(
    "startup",
    [
        "echo welcome; echo d41d8cd98f00b204e9800998ecf8427e  -",
        "head -c 4000000 /dev/zero >&2",
        "printf no-break",
    ],
)
async def test_what_start_up_files_print_does_no_harm(tmp_path: Path, startup: str) -> None:
    need_sshd()
    with calm_sshd(tmp_path, options=[f"ForceCommand {startup}; exec sh"]) as server:
        async with real_shell(server) as shell:
            answer = await shell.run(b"md5sum < /dev/null", 10)
    assert (answer.status, answer.output.strip()) == (
        0,
        hashlib.md5(usedforsecurity=False).hexdigest().encode() + b"  -",
    )


async def test_a_shell_that_has_ended_is_a_lost_one(tmp_path: Path) -> None:
    need_sshd()
    with calm_sshd(tmp_path, options=["ForceCommand echo sftp only; exit 1"]) as server:
        async with real_shell(server) as shell:
            with pytest.raises(ConnectionDropped):
                await shell.run(b"true", 10)
            assert not shell.is_usable


async def test_one_session_too_many_is_refused_and_the_others_live_on(tmp_path: Path) -> None:
    need_sshd()
    with calm_sshd(tmp_path, options=["MaxSessions 1"]) as server:
        async with dialled(on_sshd(server, tmp_path), login(server)) as connection:
            channel = await connection.open_channel()
            with pytest.raises(NoSession):
                await connection.open_channel()
            with pytest.raises(NoSession):
                await connection.open_shell()
            assert await channel.is_directory(b"/")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("Subsystem other /bin/true", "does not offer SFTP"),
        ("Subsystem sftp /bin/false", "ended at once"),
        ("Subsystem sftp /bin/echo welcome to this server", "start-up file"),
    ],
)
async def test_a_server_without_sftp_is_told_apart(tmp_path: Path, option: str, words: str) -> None:
    need_sshd()
    with calm_sshd(tmp_path, options=[option]) as server:
        async with dialled(on_sshd(server, tmp_path), login(server)) as connection:
            with pytest.raises(Unreachable, match=words):
                await connection.open_channel()


async def test_a_session_that_is_never_opened_ends_the_connection(sshd: Sshd) -> None:
    async with FaultProxy(sshd.port) as proxy:
        destination = on_sshd(sshd, sshd.directory, port=proxy.port)
        async with dialled(destination, login(sshd, timeout=0.5)) as connection:
            proxy.fault = BlackHole()
            with pytest.raises(ConnectionDropped, match="no answer"), fail_after(10):
                await connection.open_channel()
            assert not connection.is_usable
    assert proxy.fired


async def test_requests_on_a_lost_connection_end_at_once(sshd: Sshd) -> None:
    async with dialled(on_sshd(sshd, sshd.directory), login(sshd)) as connection:
        channel = await connection.open_channel()
        connection.abort()
        for request in (channel.exists(b"/"), channel.entries(b"/"), channel.open(b"/x", OpenFlags.READ)):
            with pytest.raises(ConnectionDropped):
                await request


async def test_a_discarded_channel_ends_its_requests_and_leaves_the_others(tmp_path: Path) -> None:
    async with (
        embedded_server(tmp_path, Hang(one_channel=True)) as server,
        dialled(server.destination(), server.ssh()) as connection,
    ):
        hung, other = await connection.open_channel(), await connection.open_channel()
        async with create_task_group() as tasks:
            tasks.start_soon(expect_drop, hung.open(b"/a", OpenFlags.CREATE))
            await wait_all_tasks_blocked()
            hung.discard()
        handle = await other.open(b"/b", OpenFlags.CREATE)
        await handle.close()
        assert (hung.is_usable, other.is_usable) == (False, True)
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["b"]


async def expect_drop(request: object) -> None:
    with pytest.raises(ConnectionDropped, match="no answer"):
        await request  # type: ignore[misc]


async def test_opening_is_finished_even_when_cancelled_so_that_no_handle_leaks(tmp_path: Path) -> None:
    handles = CountHandles()
    async with (
        embedded_server(tmp_path, handles) as server,
        dialled(server.destination(), server.ssh()) as connection,
    ):
        channel = await connection.open_channel()
        with CancelScope() as scope:
            scope.cancel()
            handle = await channel.open(b"/a", OpenFlags.CREATE)
        await handle.close()
        assert handles.open == 0


async def test_reading_back_leaves_no_handle_open(tmp_path: Path) -> None:
    handles = CountHandles()
    async with (
        embedded_server(tmp_path, handles) as server,
        opened(server.destination(), server.ssh(), FEW, verify=Verify.READBACK) as store,
    ):
        (tmp_path / "root" / "a").write_bytes(bytes(20_000_000))
        for i in range(10):
            with move_on_after(0.004 * i):
                await store.digest(b"/a", 20_000_000)
        await store.digest(b"/a", 20_000_000)
        with pytest.raises(RemoteNotFound):
            await store.digest(b"/missing", 1)
        assert handles.open == 0


class TestWatch:
    async def test_nothing_under_way_is_never_stalled(self) -> None:
        assert not Watch(timeout=-1).is_stalled(0)

    async def test_an_overdue_request_is(self) -> None:
        watched = Watch(timeout=-1)
        watched.begin(Timeout(None), 0)
        assert watched.is_stalled(0)

    async def test_data_on_the_line_gives_an_answer_more_time(self) -> None:
        watched = Watch(timeout=10)
        watched.begin(Timeout(None), 1000)
        watched._since -= 20
        assert watched.bytes_under_way == 1000
        assert watched.is_stalled(0)
        assert not watched.is_stalled(30 * watch._SLOWEST_RATE)

    async def test_but_not_more_than_some_time_limits(self) -> None:
        watched = Watch(timeout=10)
        watched.begin(Timeout(None), 1000)
        watched._since -= 60
        assert watched.is_stalled(1000 * watch._SLOWEST_RATE)

    async def test_any_answer_starts_the_time_anew(self) -> None:
        watched, limits = Watch(timeout=0.05), [Timeout(None), Timeout(None)]
        first, _ = [watched.begin(limit, 0) for limit in limits]
        await sleep(0.06)
        assert watched.is_stalled(0)
        watched.note_answer()
        watched.end(first)
        assert not watched.is_stalled(0)

    async def test_cancel_ends_all_requests(self) -> None:
        watched = Watch(timeout=1)

        async def request() -> None:
            async with timeout(None) as limit:
                watched.begin(limit, 0)
                watched.cancel()
                await sleep(10)

        with pytest.raises(TimeoutError):
            await request()
        assert watched.requests == 0


class AnswersNoMore(Fault):
    """The first write is answered with a status that says that the connection was lost, others not at all."""

    async def on_write(self, files: DemoFiles, offset: int, data: bytes) -> bytes | None:
        del files, offset, data
        self.hit()
        if self.fired == 1:
            raise asyncssh.SFTPConnectionLost("so it is said")
        await sleep_forever()
        return None


@pytest.mark.parametrize("is_reading", [False, True])
async def test_who_waits_for_the_window_of_a_channel_that_is_given_up_does_not_wait_for_ever(
    sshd: Sshd, tmp_path: Path, is_reading: bool
) -> None:
    (tmp_path / "b").write_bytes(bytes(9_000_000))
    async with (
        FaultProxy(sshd.port) as proxy,
        dialled(on_sshd(sshd, tmp_path, port=proxy.port), login(sshd)) as connection,
    ):
        channel = await connection.open_channel()
        name, flags = ("b", OpenFlags.READ) if is_reading else ("a", OpenFlags.CREATE)
        handle = await channel.open(bytes(tmp_path / name), flags)
        proxy.fault = BlackHole()
        with fail_after(10):
            async with create_task_group() as tasks:
                for start in (0, 3_000_000, 6_000_000):
                    part = memoryview(bytearray(3_000_000))
                    call = partial(handle.read_into, start, part)
                    if not is_reading:
                        call = partial(handle.write_all, start, part, take_at_once)
                    tasks.start_soon(dropped, call)
                await wait_all_tasks_blocked()
                channel.discard()
        assert channel.watch.requests == 0
        connection.abort()


async def test_one_answer_that_says_that_all_is_lost_ends_all_requests_of_its_channel(tmp_path: Path) -> None:
    async with (
        embedded_server(tmp_path, AnswersNoMore()) as server,
        dialled(server.destination(), server.ssh()) as connection,
    ):
        channel = await connection.open_channel()
        handle = await channel.open(b"/a", OpenFlags.CREATE)
        with fail_after(10):
            async with create_task_group() as tasks:
                for number in range(4):
                    tasks.start_soon(dropped, partial(handle.write, number, b"x"))
        assert not channel.is_usable


class ListsStrangeNames(Fault):
    """A server that lists what is in other directories, or no name at all."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        async def scandir(_files: DemoFiles, _path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
            for name in (b"..", b"../up", b"/etc", b"a/b", b"nul\0", b"", b"fine"):
                yield asyncssh.SFTPName(name, attrs=asyncssh.SFTPAttrs(permissions=0o40755))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DemoFiles, "scandir", scandir)
            self.hit()
            yield


async def test_what_is_listed_but_cannot_be_in_a_directory_is_not_there(tmp_path: Path) -> None:
    async with (
        embedded_server(tmp_path, ListsStrangeNames()) as server,
        dialled(server.destination(), server.ssh()) as connection,
    ):
        channel = await connection.open_channel()
        assert [entry.name for entry in await channel.entries(b"/")] == [b"fine"]


async def take_at_once(size: int) -> None:
    del size


async def dropped(call: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(ConnectionDropped):
        await call()
