"""The server and the proxy that other tests stand on do what those tests take for granted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

import asyncssh
import pytest

from tests.processes import descendants, state
from tests.proxy import BlackHole, Cut, FaultProxy, Refuse
from tests.sshd import find_sshd, running_sshd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.sshd import Sshd

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(find_sshd() is None, reason="no sshd on this machine")]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def login(server: Sshd) -> contextlib.AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
    return asyncssh.connect(
        server.host,
        server.port,
        username=server.user,
        client_keys=[str(server.key)],
        known_hosts=str(server.known_hosts),
        config=None,
    )


async def test_a_client_logs_in_writes_by_sftp_and_runs_a_command(server: Sshd) -> None:
    async with login(server) as connection:
        async with connection.start_sftp_client() as sftp, sftp.open(f"{server.directory}/hello", "wb") as file:
            await file.write(b"hello\n")
        answer = await connection.run(f"md5sum < {server.directory}/hello", check=True)
    assert answer.stdout == "b1946ac92492d2347c6235b4d2611184  -\n"
    assert (server.directory / "hello").read_bytes() == b"hello\n"


async def test_nothing_of_a_server_outlives_its_block(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        async with login(server) as connection:
            process = await connection.create_process("sleep 600 & echo started; exec sleep 600")
            assert await process.stdout.readline() == "started\n"
            family = [server.pid, *descendants(server.pid)]
            connection.abort()
    assert {state(pid) for pid in family} == {"Z"}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), timeout=1)


async def test_options_and_authorized_options_win(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("sshd")
    options = ["MaxSessions 1", "Subsystem sftp /bin/false"]
    with running_sshd(base, options=options, authorized_options='command="echo forced; cat"') as server:
        async with login(server) as connection, connection.create_process("echo asked") as process:
            assert await process.stdout.readline() == "forced\n"
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.create_process("echo second")


async def test_the_server_is_reached_through_the_proxy(server: Sshd) -> None:
    async with FaultProxy(server.port) as proxy:
        reader, writer = await asyncio.open_connection(server.host, proxy.port)
        assert (await reader.read(4)) == b"SSH-"
        writer.close()
        await writer.wait_closed()
    assert (proxy.connections, proxy.fired) == (1, 0)


class Recorder:
    """An echo server that remembers what came in and how each connection ended."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.endings: asyncio.Queue[str] = asyncio.Queue()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ending = "eof"
        try:
            while data := await reader.read(1 << 16):
                self.received += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            ending = "reset"
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.endings.put_nowait(ending)


@pytest.fixture
async def echo() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    listener = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.port = listener.sockets[0].getsockname()[1]
    async with asyncio.timeout(20), listener:
        yield recorder


@contextlib.asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_reset_cuts_each_connection_after_the_given_bytes(echo: Recorder) -> None:
    async with FaultProxy(echo.port, fault=Cut(after=5)) as proxy:
        for _ in range(2):
            async with connected(proxy) as (reader, writer):
                writer.write(b"1234")
                assert await reader.readexactly(4) == b"1234"
                writer.write(b"56789")
                with pytest.raises(ConnectionResetError):
                    await reader.readexactly(100)
            assert await echo.endings.get() == "reset"
    assert (proxy.connections, proxy.fired) == (2, 2)
    assert echo.received.replace(b"5", b"") == b"1234" * 2


async def test_an_orderly_cut_happens_once_and_everything_before_it_arrives(echo: Recorder) -> None:
    async with FaultProxy(echo.port, fault=Cut(after=5, reset=False, once=True)) as proxy:
        async with connected(proxy) as (reader, writer):
            writer.write(b"123456789")
            assert await reader.read() == b""
        assert await echo.endings.get() == "eof"
        async with connected(proxy) as (reader, writer):
            writer.write(b"abcdefghi")
            assert await reader.readexactly(9) == b"abcdefghi"
    assert proxy.fired == 1
    assert echo.received == b"12345abcdefghi"


async def test_a_black_hole_swallows_and_keeps_connections_open(echo: Recorder) -> None:
    async with FaultProxy(echo.port) as proxy, connected(proxy) as (reader, writer):
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.fault = BlackHole()
        writer.write(b"swallowed")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        proxy.fault = None
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
    assert proxy.fired == 1
    assert echo.received == b"beforeafter"


async def test_new_connections_are_refused_and_old_ones_go_on(echo: Recorder) -> None:
    async with FaultProxy(echo.port) as proxy, connected(proxy) as (reader, writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.fault = Refuse()
        async with connected(proxy) as (refused, _):
            with pytest.raises(ConnectionResetError):
                await refused.read(1)
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
    assert (proxy.connections, proxy.fired) == (2, 1)


async def test_delay_is_paid_once_a_round_trip_however_much_is_sent(echo: Recorder) -> None:
    payload = bytes(range(256)) * (1 << 14)
    async with FaultProxy(echo.port) as proxy, connected(proxy) as (reader, writer):
        proxy.delay = 0.1
        start = time.monotonic()
        writer.write(payload)
        assert await reader.readexactly(len(payload)) == payload
        assert 0.2 <= time.monotonic() - start < 2


async def test_the_rate_is_shared_by_all_connections(echo: Recorder) -> None:
    async with FaultProxy(echo.port) as proxy, connected(proxy) as first, connected(proxy) as second:
        proxy.rate = 1e6
        start = time.monotonic()
        for _, writer in (first, second):
            writer.write(bytes(150_000))
        for reader, _ in (first, second):
            await reader.readexactly(150_000)
        assert time.monotonic() - start >= 0.3


async def test_a_proxy_in_the_midst_of_everything_leaves_no_task_behind(echo: Recorder) -> None:
    before = asyncio.all_tasks()
    async with FaultProxy(echo.port) as proxy, connected(proxy) as (_, stalled), connected(proxy) as (_, writer):
        proxy.delay, proxy.rate = 60.0, 1.0
        for busy in (stalled, writer):
            busy.write(bytes(1 << 20))
        async with connected(proxy):
            await asyncio.sleep(0.02)
    assert {task for task in asyncio.all_tasks() - before if "FaultProxy" in repr(task)} == set()
    assert proxy.connections == 3
