"""The short way for what comes: the same bytes arrive, whatever the cipher, the cuts and the moment, or an error."""

from __future__ import annotations

import gc
import random
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from anyio import create_task_group, move_on_after, sleep
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_CHANNEL_WINDOW_ADJUST, MSG_NEWKEYS
from asyncssh.encryption import get_default_encryption_algs
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.remote.ssh import shortcuts
from async_backup.remote.ssh.channel import OpenFlags
from async_backup.remote.ssh.connection import CHUNK
from tests.embedded import embedded_server
from tests.file_faults import Hang
from tests.lines import expect_drop, line
from tests.stores import dialled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.lines import Line

pytestmark = pytest.mark.anyio

CONTENT = random.Random(9).randbytes(1_500_000)
CIPHERS = [name.decode() for name in get_default_encryption_algs()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(CONTENT)
    return tmp_path


async def read_all(on: Line, size: int = CHUNK, length: int = len(CONTENT)) -> bytes:
    """By requests of that size, all under way at the same time."""
    file = await on.open(b"a", asyncssh.FXF_READ)
    found: dict[int, bytes] = {}

    async def read(start: int) -> None:
        data: Any = await file.read(min(size, length - start), start)
        found[start] = bytes(data)

    async with create_task_group() as tasks:
        for start in range(0, length, size):
            tasks.start_soon(read, start)
    await file.close()
    return b"".join(found[start] for start in sorted(found))


@pytest.mark.parametrize("cipher", CIPHERS)
async def test_every_cipher_brings_the_data(root: Path, cipher: str) -> None:
    async with line(root, encryption_algs=[cipher]) as on:
        assert await read_all(on) == CONTENT
        by_the_library = on.received.count(MSG_CHANNEL_DATA)
        assert (by_the_library == 0) == ("gcm" in cipher)


async def test_windows_of_what_is_written_take_the_short_way_too(root: Path) -> None:
    async with line(root, encryption_algs=["aes128-gcm@openssh.com"], server={"window": 50_000}) as on:
        file = await on.open(b"b")
        await file.write(CONTENT, 0)
        await file.close()
        assert MSG_CHANNEL_WINDOW_ADJUST not in on.received
    assert (root / "b").read_bytes() == CONTENT


async def test_a_version_of_the_library_that_nobody_has_looked_into_is_left_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcuts, "KNOWN", {"1.0"})
    async with line(root) as on:
        assert await read_all(on) == CONTENT
        assert on.received.count(MSG_CHANNEL_DATA) > len(CONTENT) // (32 << 10)


async def test_compressed_data_go_the_library_s_own_way(root: Path) -> None:
    algorithms = ["zlib@openssh.com"]
    async with line(root, server={"compression_algs": algorithms}, compression_algs=algorithms) as on:
        assert await read_all(on) == CONTENT
        assert on.received.count(MSG_CHANNEL_DATA) > len(CONTENT) // (32 << 10)


@pytest.mark.parametrize(
    ("server", "client"), [({}, {"rekey_bytes": 2_000}), ({"rekey_bytes": 200_000}, {})], ids=["client", "server"]
)
async def test_keys_are_exchanged_anew_in_the_midst_of_it(
    root: Path, server: dict[str, Any], client: dict[str, Any]
) -> None:
    async with line(root, encryption_algs=["aes128-gcm@openssh.com"], server=server, **client) as on:
        for _ in range(4):
            assert await read_all(on, size=20_000) == CONTENT
        assert on.sent.count(MSG_NEWKEYS) >= 4
        assert on.received.count(MSG_CHANNEL_DATA) == 0


async def test_other_channels_of_the_connection_are_served_meanwhile(root: Path) -> None:
    async def echo(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stdout.write(await process.stdin.read())
        process.stderr.write(b"said")
        process.exit(3)

    async with line(root, server={"process_factory": echo, "encoding": None}) as on, create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(expect_content, on)
        done = await on.connection.run("echo", input=CONTENT, encoding=None)
        assert (done.stdout, done.stderr, done.exit_status) == (CONTENT, b"said", 3)


async def expect_content(on: Line) -> None:
    assert await read_all(on) == CONTENT


def cut(connection: Any, pieces: Iterator[int]) -> None:
    """Let what comes from the line come in pieces of those sizes."""
    receive: Callable[[bytes], None] = connection.data_received

    def receive_pieces(data: bytes) -> None:
        while data:
            size = next(pieces)
            receive(data[:size])
            data = data[size:]

    connection.data_received = receive_pieces


@settings(max_examples=12)
@given(seed=st.integers(0, 1 << 32), most=st.sampled_from([3, 40, 1_000, 40_000, 300_000]))
@pytest.mark.parametrize("cipher", ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"])
async def test_the_line_may_cut_what_comes_anywhere(
    tmp_path_factory: pytest.TempPathFactory, cipher: str, seed: int, most: int
) -> None:
    root, length, sizes = tmp_path_factory.mktemp("cuts"), min(len(CONTENT), most * 500), random.Random(seed)
    (root / "a").write_bytes(CONTENT)
    async with line(root, encryption_algs=[cipher]) as on:
        cut(on.connection, iter(lambda: sizes.randint(1, most), 0))
        assert await read_all(on, sizes.randint(5_000, CHUNK), length) == CONTENT[:length]


@settings(max_examples=20)
@given(place=st.integers(0, 400_000), change=st.integers(1, 255))
@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "aes128-ctr"])
async def test_what_was_changed_on_the_line_ends_the_connection_and_is_never_taken(
    tmp_path_factory: pytest.TempPathFactory, cipher: str, place: int, change: int
) -> None:
    root = tmp_path_factory.mktemp("changes")
    (root / "a").write_bytes(CONTENT[:500_000])
    async with line(root, encryption_algs=[cipher]) as on:
        connection: Any = on.connection
        receive, passed = connection.data_received, 0

        def receive_changed(data: bytes) -> None:
            nonlocal passed
            at, passed = place - passed, passed + len(data)
            receive(data[:at] + bytes([data[at] ^ change]) + data[at + 1 :] if 0 <= at < len(data) else data)

        connection.data_received = receive_changed
        with move_on_after(3):  # where a length was changed the rest of the packet is waited for
            with pytest.raises((asyncssh.Error, OSError)):
                await first_error(read_all(on, length=500_000))
            assert connection.is_closed()


async def first_error(call: Awaitable[object]) -> None:
    try:
        await call
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


@pytest.mark.parametrize("cause", ["cancelled", "given up"])
async def test_nobody_fills_the_memory_once_a_read_has_ended(tmp_path: Path, cause: str) -> None:
    target = bytearray(b"-" * 4_000_000)
    async with (
        embedded_server(tmp_path, Hang(after=4)) as server,
        dialled(server.destination(), server.ssh()) as connection,
    ):
        (tmp_path / "root" / "a").write_bytes(CONTENT * 3)
        channel = await connection.open_channel()
        handle = await channel.open(b"/a", OpenFlags.READ)
        with memoryview(target) as view:
            if cause == "cancelled":
                with move_on_after(0.2):
                    await handle.read_into(0, view)
            else:
                async with create_task_group() as tasks:
                    tasks.start_soon(expect_drop, handle.read_into(0, view))
                    await sleep(0.2)
                    channel.discard()
        assert channel.watch.requests == 0
        gc.collect()  # of what an error's traceback holds since Python 3.13
        target.append(0)  # a buffer that is in use does not grow
    assert target.count(b"-") > 0
