"""The short way for what is written: the same bytes arrive, whatever the cipher, the windows and the moment."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import asyncssh
import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep, wait_all_tasks_blocked
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_IGNORE, MSG_NEWKEYS
from asyncssh.encryption import get_default_encryption_algs
from asyncssh.mac import get_mac_algs
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.remote.ssh import shortcuts
from async_backup.remote.ssh.channel import OpenFlags
from async_backup.remote.ssh.connection import CHUNK
from tests.embedded import embedded_server
from tests.file_faults import Hang
from tests.lines import Line, expect_drop, line
from tests.stores import dialled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


pytestmark = pytest.mark.anyio

CONTENT = random.Random(7).randbytes(1_500_000)


async def write_all(on: Line, name: bytes, content: bytes, size: int = CHUNK) -> None:
    """Requests of that size, all under way at the same time."""
    file = await on.open(name)
    async with create_task_group() as tasks:
        for start in range(0, len(content), size):
            tasks.start_soon(file.write, content[start : start + size], start)
    await file.close()


@pytest.mark.parametrize("cipher", [name.decode() for name in get_default_encryption_algs()])
async def test_every_cipher_carries_the_data(tmp_path: Path, cipher: str) -> None:
    async with line(tmp_path, encryption_algs=[cipher]) as on:
        await write_all(on, b"a", CONTENT)
        assert on.is_fast
        assert on.sent.count(MSG_CHANNEL_DATA) == 0
        assert MSG_IGNORE not in on.sent
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("mac", [name.decode() for name in get_mac_algs()])
async def test_every_mac_does(tmp_path: Path, mac: str) -> None:
    async with line(tmp_path, encryption_algs=["aes128-ctr"], mac_algs=[mac]) as on:
        await write_all(on, b"a", CONTENT[:300_000])
        assert on.is_fast
        assert on.sent.count(MSG_CHANNEL_DATA) == 0
    assert (tmp_path / "a").read_bytes() == CONTENT[:300_000]


async def test_a_cipher_in_cbc_mode_keeps_the_library_s_own_way_with_its_ignored_packets(tmp_path: Path) -> None:
    async with line(tmp_path, encryption_algs=["aes128-cbc"]) as on:
        await write_all(on, b"a", CONTENT)
        assert not on.is_fast
        assert MSG_IGNORE in on.sent
    assert (tmp_path / "a").read_bytes() == CONTENT


async def test_so_does_a_version_of_the_library_that_nobody_has_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcuts, "KNOWN", {"1.0"})
    async with line(tmp_path) as on:
        await write_all(on, b"a", CONTENT)
        assert not on.is_fast
        assert on.sent.count(MSG_CHANNEL_DATA) > len(CONTENT) // (32 << 10)
    assert (tmp_path / "a").read_bytes() == CONTENT


async def test_compressed_data_go_the_library_s_own_way(tmp_path: Path) -> None:
    algorithms = ["zlib@openssh.com"]
    async with line(tmp_path, server={"compression_algs": algorithms}, compression_algs=algorithms) as on:
        await write_all(on, b"a", CONTENT)
        assert on.sent.count(MSG_CHANNEL_DATA) > len(CONTENT) // (32 << 10)
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("server", "client"), [({}, {"rekey_bytes": 200_000}), ({"rekey_bytes": 2_000}, {})], ids=["client", "server"]
)
async def test_keys_are_exchanged_anew_in_the_midst_of_it(
    tmp_path: Path, server: dict[str, Any], client: dict[str, Any]
) -> None:
    async with line(tmp_path, server=server, **client) as on:
        for number in range(4):
            await write_all(on, b"%d" % number, CONTENT, size=20_000)
        assert on.sent.count(MSG_NEWKEYS) >= 4
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {CONTENT}
    assert len(list(tmp_path.iterdir())) == 4


async def test_they_are_after_a_while_too(tmp_path: Path) -> None:
    async with line(tmp_path, rekey_seconds=0.05) as on:
        for number in range(4):
            await write_all(on, b"%d" % number, CONTENT[:CHUNK])
            await sleep(0.06)
        assert on.sent.count(MSG_NEWKEYS) >= 2
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {CONTENT[:CHUNK]}


@pytest.mark.parametrize(("window", "packet"), [(1000, 100), (70_000, 32_768), (2 << 20, 1 << 20)])
async def test_windows_and_packets_of_every_size_are_kept_to(tmp_path: Path, window: int, packet: int) -> None:
    content = CONTENT[: window * 8]
    with fail_after(30):
        async with line(tmp_path, server={"window": window, "max_pktsize": packet}) as on:
            await write_all(on, b"a", content)
    assert (tmp_path / "a").read_bytes() == content


@pytest.mark.parametrize("level", [logging.WARNING, logging.DEBUG])
async def test_single_requests_are_logged_where_somebody_listens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    with caplog.at_level(level, "asyncssh"):
        async with line(tmp_path) as on:
            caplog.clear()
            await write_all(on, b"a", CONTENT[:1000])
            said = [record.message for record in caplog.records]
            on.sftp.logger.warning("still heard")
    assert any("Sending close" in message for message in said) == (level == logging.DEBUG)
    assert "still heard" in caplog.text
    assert (tmp_path / "a").read_bytes() == CONTENT[:1000]


WRITES = st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 3 * CHUNK // 2)), min_size=1, max_size=12)


@settings(max_examples=25)
@given(writes=WRITES, window=st.integers(5_000, 600_000), packet=st.integers(500, 100_000))
async def test_writes_among_other_requests_arrive_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, writes: Sequence[tuple[int, int]], window: int, packet: int
) -> None:
    directory = tmp_path_factory.mktemp("order")
    expected = bytearray()
    async with line(directory, server={"window": window, "max_pktsize": packet}) as on, create_task_group() as tasks:
        file = await on.open(b"a")
        for number, (offset, size) in enumerate(writes):
            data = random.Random(number).randbytes(size)
            if size:
                expected.extend(bytes(max(0, offset - len(expected))))
                expected[offset : offset + size] = data
            tasks.start_soon(file.write, data, offset)
            tasks.start_soon(on.sftp.exists, b"missing")
    assert (directory / "a").read_bytes() == expected


async def test_writing_to_a_channel_that_was_closed_is_an_error_and_does_not_hang(tmp_path: Path) -> None:
    async with line(tmp_path) as on:
        file = await on.open(b"a")
        on.sftp.exit()
        with fail_after(5), pytest.raises((asyncssh.SFTPError, OSError)):
            await file.write(CONTENT, 0)


async def test_a_connection_that_ends_ends_all_writes(tmp_path: Path) -> None:
    ended = 0

    async def write(file: asyncssh.SFTPClientFile, start: int) -> None:
        nonlocal ended
        with pytest.raises((asyncssh.SFTPError, asyncssh.Error)):
            await file.write(CONTENT[start : start + 100_000], start)
        ended += 1

    async with line(tmp_path, server={"window": 50_000}) as on:
        file = await on.open(b"a")
        with fail_after(5):
            async with create_task_group() as tasks:
                for start in range(0, 1_000_000, 100_000):
                    tasks.start_soon(write, file, start)
                await wait_all_tasks_blocked()
                on.connection.abort()
    assert ended == 10


@pytest.mark.parametrize("cause", ["cancelled", "given up"])
async def test_nobody_reads_the_data_once_a_write_has_ended(tmp_path: Path, cause: str) -> None:
    content = bytearray(CONTENT * 4)
    async with (
        embedded_server(tmp_path, Hang(after=2)) as server,
        dialled(server.destination(), server.ssh()) as connection,
    ):
        channel = await connection.open_channel()
        handle = await channel.open(b"/a", OpenFlags.CREATE)
        with memoryview(content) as data:
            if cause == "cancelled":
                with move_on_after(0.2):
                    await handle.write_all(0, data, no_wait)
            else:
                async with create_task_group() as tasks:
                    tasks.start_soon(expect_drop, handle.write_all(0, data, no_wait))
                    await sleep(0.2)
                    channel.discard()
        await anyio.lowlevel.checkpoint()
        assert channel.watch.requests == 0
        gc.collect()  # of what an error's traceback holds since Python 3.13
        content.append(0)  # a buffer that is in use does not grow
    assert not [task for task in asyncio.all_tasks() if "write" in repr(task.get_coro())]


async def no_wait(size: int) -> None:
    del size
