"""Reading through the SFTP store: the right bytes or the right error, and no trace on the server."""

from __future__ import annotations

import errno
import hashlib
import os
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from anyio import Event, create_task_group, fail_after, move_on_after

from async_backup.config import Verify
from async_backup.errors import ConnectionDropped, NoDigestCommand, RemoteDenied, RemoteError, RemoteNotFound
from async_backup.remote import reading
from async_backup.remote.memory import MemoryStore
from async_backup.remote.ssh import watch
from tests.embedded import Fault, embedded_server
from tests.file_faults import CountHandles, Hang
from tests.proxy import Cut, FaultProxy
from tests.read_faults import (
    CloseChannelWhileReading,
    CountReaders,
    DropWhileReading,
    LongReads,
    OneReader,
    ReadsFail,
    ShortReads,
)
from tests.shell_faults import CountShells, OtherPaths, RefuseCommands
from tests.stores import FEW, all_channels, calm_sshd, login, on_sshd, opened, opened_to_read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from async_backup.config import Limits
    from async_backup.remote.base import RemoteReader
    from async_backup.remote.store import SftpStore
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

CONTENT = random.Random(8).randbytes(6_000_000)
SEGMENT = 700_000
ONE = replace(FEW, connections=1, channels=1)
PATIENT = replace(FEW, retries=6)

Outlook = tuple[str, int, int, bytes]


@asynccontextmanager
async def archives(
    base: Path, *faults: Fault, limits: Limits = FEW, verify: Verify = Verify.AUTO, timeout: float = 10
) -> AsyncIterator[SftpStore]:
    """A store with the file `/d/a` on a server with `faults`, which must all have fired at the end."""
    with fail_after(60):
        async with embedded_server(base, *faults) as server:
            (base / "root" / "d").mkdir()
            (base / "root" / "d" / "a").write_bytes(CONTENT)
            async with opened_to_read(server.destination(b"/d"), server.ssh(timeout), limits, verify=verify) as store:
                yield store


@asynccontextmanager
async def opened_reader(store: SftpStore, path: bytes = b"/d/a") -> AsyncIterator[RemoteReader]:
    reader = await store.open(path)
    try:
        yield reader
    finally:
        await reader.close()


async def read_all(reader: RemoteReader) -> bytes:
    """All segments at once."""
    found: dict[int, bytes] = {}

    async def read(start: int) -> None:
        found[start] = await reader.read(start, min(SEGMENT, reader.size - start))

    async with create_task_group() as tasks:
        for start in range(0, reader.size, SEGMENT):
            tasks.start_soon(read, start)
    return b"".join(found[start] for start in sorted(found))


def outlook(root: Path) -> list[Outlook]:
    """Everything below a directory: name, mode, time of change, content."""
    found = []
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found.append((str(path), status.st_mode, status.st_mtime_ns, content))
    return found


class TestReader:
    async def test_one_file_is_read_through_all_channels(self, tmp_path: Path) -> None:
        readers = CountReaders()
        async with archives(tmp_path, readers) as store:
            await all_channels(store)
            async with opened_reader(store) as reader:
                assert await read_all(reader) == CONTENT
        assert len(readers.channels) == FEW.connections * FEW.channels

    async def test_a_small_read_opens_the_file_once(self, tmp_path: Path) -> None:
        readers = CountReaders()
        async with archives(tmp_path, readers) as store:
            await all_channels(store)
            async with opened_reader(store) as reader:
                for _ in range(5):
                    assert await reader.read(10, 1000) == CONTENT[10:1010]
        assert len(readers.channels) == 1

    @pytest.mark.parametrize("most", [1_000, 261_119])
    async def test_what_the_server_leaves_out_is_asked_for_again(self, tmp_path: Path, most: int) -> None:
        async with archives(tmp_path, ShortReads(most)) as store, opened_reader(store) as reader:
            assert await reader.read(0, 600_000) == CONTENT[:600_000]
            assert await reader.read(5_900_000, 100_000) == CONTENT[5_900_000:]

    async def test_more_than_was_asked_for_is_never_taken(self, tmp_path: Path) -> None:
        async with archives(tmp_path, LongReads()) as store, opened_reader(store) as reader:
            with pytest.raises(RemoteError, match="more than"):
                await reader.read(0, 1000)

    @pytest.mark.parametrize("limits", [PATIENT, replace(PATIENT, connections=1, channels=1)], ids=["several", "one"])
    @pytest.mark.parametrize("fault", [DropWhileReading, CloseChannelWhileReading])
    async def test_after_a_loss_it_is_read_again(
        self, tmp_path: Path, fault: Callable[..., Fault], limits: Limits
    ) -> None:
        lost = fault(after=1_500_000, times=3)
        async with archives(tmp_path, lost, limits=limits) as store, opened_reader(store) as reader:
            assert await read_all(reader) == CONTENT
        assert lost.fired == 3

    async def test_without_retries_a_lost_connection_is_an_error(self, tmp_path: Path) -> None:
        limits = replace(FEW, retries=0)
        async with (
            archives(tmp_path, DropWhileReading(after=700_000), limits=limits) as store,
            opened_reader(store) as reader,
        ):
            with pytest.raises(ConnectionDropped):
                await reader.read(0, 1_000_000)

    async def test_a_connection_that_openssh_loses_is_replaced(self, sshd: Sshd, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(CONTENT)
        async with FaultProxy(sshd.port) as proxy:
            where = on_sshd(sshd, tmp_path, port=proxy.port)
            with fail_after(60):
                async with (
                    opened_to_read(where, login(sshd), replace(PATIENT, connections=1)) as store,
                    opened_reader(store, store.directory + b"/a") as reader,
                ):
                    assert await reader.read(0, 1000) == CONTENT[:1000]
                    proxy.fault = Cut(after=0, once=True)
                    assert await read_all(reader) == CONTENT
            assert proxy.fired == 1

    async def test_a_channel_that_hangs_does_not_stop_the_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watch, "_SLOWEST_RATE", 1 << 30)
        hang = Hang(after=12, one_channel=True)
        async with archives(tmp_path, hang, limits=PATIENT, timeout=1) as store:
            await all_channels(store)
            async with opened_reader(store) as reader:
                assert await read_all(reader) == CONTENT

    @pytest.mark.parametrize("faults", [[], [DropWhileReading(after=1_500_000)]], ids=["calm", "dropped"])
    async def test_a_server_that_opens_a_file_only_once_is_read_through_one_channel(
        self, tmp_path: Path, faults: list[Fault]
    ) -> None:
        async with archives(tmp_path, OneReader(), *faults, limits=PATIENT) as store:
            await all_channels(store)
            async with opened_reader(store) as reader:
                assert await read_all(reader) == CONTENT

    async def test_cancelled_reads_leave_no_handle_open(self, tmp_path: Path) -> None:
        handles = CountHandles()
        async with archives(tmp_path, handles) as store:
            await all_channels(store)
            for i in range(12):
                with move_on_after(0.004 * i):
                    async with opened_reader(store) as reader:
                        await read_all(reader)
                with move_on_after(0.002 * i):
                    await store.read_ending(b"/d/a", len(CONTENT), 1000)
            async with opened_reader(store) as reader:
                assert await read_all(reader) == CONTENT
            assert handles.open == 0

    async def test_a_handle_is_closed_where_reading_fails(self, tmp_path: Path) -> None:
        handles = CountHandles()
        async with archives(tmp_path, handles, ReadsFail(times=1)) as store:
            async with opened_reader(store) as reader:
                with pytest.raises(RemoteError):
                    await reader.read(0, 1000)
            assert handles.open == 0

    @pytest.mark.parametrize("server", ["ours", "OpenSSH"])
    async def test_a_named_pipe_is_refused_and_blocks_nothing(self, server: str, sshd: Sshd, tmp_path: Path) -> None:
        with fail_after(30):
            if server == "ours":
                async with archives(tmp_path) as store:
                    os.mkfifo(tmp_path / "root" / "d" / "pipe")
                    await refuse_pipe(store)
            else:
                os.mkfifo(tmp_path / "pipe")
                async with opened_to_read(on_sshd(sshd, tmp_path), login(sshd), ONE) as store:
                    await refuse_pipe(store)

    async def test_who_may_not_read_is_told_so_on_opening(self, tmp_path: Path) -> None:
        class Denied(Fault):
            async def on_open(self, *_: object) -> None:
                self.hit()
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        async with archives(tmp_path, Denied()) as store:
            with pytest.raises(RemoteDenied):
                await store.open(b"/d/a")


async def refuse_pipe(store: SftpStore) -> None:
    path = store.directory + b"/pipe"
    with pytest.raises(RemoteError, match="not a regular file"):
        await store.open(path)
    assert [(entry.name, entry.is_file) for entry in await store.entries(store.directory) if not entry.is_file] == [
        (b"pipe", False)
    ]


class TestEndings:
    @pytest.mark.parametrize("fault", [partial(ShortReads, 10), ReadsFail], ids=["short", "refused"])
    async def test_what_one_read_does_not_give_is_read_once_more(
        self, tmp_path: Path, fault: Callable[[], Fault]
    ) -> None:
        async with archives(tmp_path, fault()) as store:
            assert await store.read_ending(b"/d/a", len(CONTENT), 100) == CONTENT[-100:]

    async def test_after_a_lost_connection_it_is_read_again(self, tmp_path: Path) -> None:
        async with archives(tmp_path, DropWhileReading(after=50), limits=PATIENT) as store:
            assert await store.read_ending(b"/d/a", len(CONTENT), 100) == CONTENT[-100:]

    async def test_no_handle_stays_open(self, tmp_path: Path) -> None:
        handles = CountHandles()
        async with archives(tmp_path, handles) as store:
            async with create_task_group() as tasks:
                for _ in range(64):
                    tasks.start_soon(store.read_ending, b"/d/a", len(CONTENT), 100)
            assert handles.open == 0


class TestReadBack:
    @pytest.mark.parametrize("difference", [-1, 0, 1])
    @pytest.mark.parametrize("blocks", [0, 1, 2, 11])
    async def test_the_digest_is_right_for_every_size(self, blocks: int, difference: int) -> None:
        content = CONTENT[: max(0, blocks * 100_000 + difference)]
        assert await read_back(content, 100_000) == hashlib.md5(content, usedforsecurity=False).hexdigest()

    async def test_blocks_are_hashed_in_order_however_they_arrive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading, "_BLOCK", 1000)
        reader = FirstComesLast(CONTENT[:8000])
        with fail_after(10):
            found = await reading.digest_of(reader, "sha256")
        assert found == hashlib.sha256(CONTENT[:8000]).hexdigest()

    async def test_several_channels_read_and_the_order_stays(self, tmp_path: Path) -> None:
        readers = CountReaders()
        expected = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
        async with archives(tmp_path, readers, verify=Verify.READBACK) as store:
            await all_channels(store)
            assert await store.digest(b"/d/a", len(CONTENT)) == (expected, "readback")
        assert len(readers.channels) == FEW.connections * FEW.channels

    async def test_after_a_lost_connection_the_digest_is_still_right(self, tmp_path: Path) -> None:
        expected = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
        async with archives(tmp_path, DropWhileReading(after=2_000_000, times=2), limits=PATIENT) as store:
            assert (await store.digest(b"/d/a", len(CONTENT))).value == expected


class FirstComesLast:
    """A reader whose first answer waits for seven others."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self._content = content
        self._others = 0
        self._are_here = Event()

    async def read(self, offset: int, length: int) -> bytes:
        if offset == 0:
            await self._are_here.wait()
        else:
            self._others += 1
        if self._others == 7:
            self._are_here.set()
        return self._content[offset : offset + length]

    async def read_into(self, offset: int, target: memoryview) -> None:
        target[:] = await self.read(offset, len(target))

    async def close(self) -> None:
        """Nothing is open."""


async def read_back(content: bytes, block: int) -> str:
    """What is computed with blocks of another size."""
    store = MemoryStore()
    store.put(b"/backups/a", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK", block)
        return await reading.digest_of(await store.open(b"/backups/a"), "md5")


class TestOpeningToRead:
    async def test_nothing_is_left_and_nothing_is_touched(self, tmp_path: Path) -> None:
        async with embedded_server(tmp_path) as server:
            (tmp_path / "root" / "d").mkdir()
            (tmp_path / "root" / "d" / "a").write_bytes(b"content")
            before = outlook(tmp_path / "root")
            async with opened_to_read(server.destination(b"/d"), server.ssh()) as store:
                assert store.directory == b"/d"
                assert [(entry.name, entry.size) for entry in await store.entries(store.directory)] == [(b"a", 7)]
                await store.find_digest_command(b"/d/a")
                assert store.verification == "md5sum"
            assert outlook(tmp_path / "root") == before

    async def test_the_directory_is_the_real_path(self, sshd: Sshd, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        async with opened_to_read(on_sshd(sshd, tmp_path / "link"), login(sshd)) as store:
            assert store.directory == os.fsencode((tmp_path / "real").resolve())

    async def test_a_missing_directory_is_not_made(self, sshd: Sshd, tmp_path: Path) -> None:
        where = on_sshd(sshd, tmp_path / "x" / "y")
        with pytest.raises(RemoteNotFound, match=rf"{sshd.host}.*/x/y.*check"):
            async with opened_to_read(where, login(sshd)):
                pass
        assert os.listdir(tmp_path) == []

    async def test_a_file_in_the_place_of_the_directory_is_an_error(self, sshd: Sshd, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"theirs")
        with pytest.raises(RemoteError, match="not a directory"):
            async with opened_to_read(on_sshd(sshd, tmp_path / "f"), login(sshd)):
                pass
        assert (tmp_path / "f").read_bytes() == b"theirs"

    async def test_an_account_that_may_only_read_is_enough(self, tmp_path: Path) -> None:
        with calm_sshd(tmp_path / "sshd", options=["Subsystem sftp internal-sftp -R"]) as server:
            (tmp_path / "d").mkdir()
            (tmp_path / "d" / "a").write_bytes(CONTENT)
            where = on_sshd(server, tmp_path / "d")
            with pytest.raises(RemoteDenied):
                async with opened(where, login(server)):
                    pass
            async with opened_to_read(where, login(server)) as store:
                path = store.directory + b"/a"
                async with opened_reader(store, path) as reader:
                    assert await read_all(reader) == CONTENT
                await store.find_digest_command(path)
                assert store.verification == "md5sum"
                assert (await store.digest(path, len(CONTENT))).value == hashlib.md5(CONTENT).hexdigest()

    async def test_one_session_is_enough(self, tmp_path: Path) -> None:
        with calm_sshd(tmp_path / "sshd", options=["MaxSessions 1"]) as server:
            (tmp_path / "d").mkdir()
            (tmp_path / "d" / "a").write_bytes(CONTENT)
            async with opened_to_read(on_sshd(server, tmp_path / "d"), login(server)) as store:
                path = store.directory + b"/a"
                assert [entry.size for entry in await store.entries(store.directory)] == [len(CONTENT)]
                assert await store.read_ending(path, len(CONTENT), 100) == CONTENT[-100:]
                async with opened_reader(store, path) as reader:
                    assert await read_all(reader) == CONTENT
                await store.find_digest_command(path)
                assert store.verification == "readback"
                assert "session" in store.verification_reason
                assert await store.digest(path, len(CONTENT)) == (hashlib.md5(CONTENT).hexdigest(), "readback")

    async def test_no_shell_is_started_before_one_is_needed(self, tmp_path: Path) -> None:
        shells = CountShells()
        async with archives(tmp_path, shells) as store:
            await all_channels(store)
            async with opened_reader(store) as reader:
                await reader.read(0, 100)
            assert (await store.digest(b"/d/a", len(CONTENT))).computed_by == "readback"
            assert shells.fired == 0
            await store.find_digest_command(b"/d/a")
            assert shells.fired == 1

    @pytest.mark.parametrize("fault", [RefuseCommands, OtherPaths])
    async def test_without_a_command_that_works_files_are_read_back_and_the_reason_is_told(
        self, tmp_path: Path, fault: type[Fault]
    ) -> None:
        async with archives(tmp_path, fault()) as store:
            await store.find_digest_command(b"/d/a")
            assert store.verification == "readback"
            assert store.verification_reason
            assert (await store.digest(b"/d/a", len(CONTENT))).computed_by == "readback"

    async def test_who_insists_on_a_command_is_told_that_there_is_none(self, tmp_path: Path) -> None:
        async with archives(tmp_path, RefuseCommands(), verify=Verify.COMMAND) as store:
            with pytest.raises(NoDigestCommand, match="--verify"):
                await store.find_digest_command(b"/d/a")

    async def test_who_wants_files_read_back_needs_no_command(self, tmp_path: Path) -> None:
        async with archives(tmp_path, verify=Verify.READBACK) as store:
            await store.find_digest_command(b"/d/a")
            assert (store.verification, store.verification_reason) == ("readback", "")

    async def test_a_command_cannot_be_tried_on_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        async with archives(tmp_path) as store:
            with pytest.raises(RemoteNotFound):
                await store.find_digest_command(b"/d/missing")


FAULTY: dict[str, Callable[[MemoryStore], Awaitable[object]]] = {
    "open": lambda store: store.open(b"/backups/a"),
    "read": lambda store: store.read_ending(b"/backups/a", 1, 1),
}


@pytest.mark.parametrize("request_name", FAULTY)
async def test_the_fake_fails_by_its_script_and_then_works(request_name: str) -> None:
    store = MemoryStore(faults={request_name: [ConnectionDropped("gone")]})
    store.put(b"/backups/a", b"x")
    with pytest.raises(ConnectionDropped):
        await FAULTY[request_name](store)
    assert await store.read_ending(b"/backups/a", 1, 1) == b"x"
    assert store.unused_faults == 0
