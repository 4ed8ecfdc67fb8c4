"""The SFTP store against a server with faults: the right error, or the right bytes, and nothing left behind."""

from __future__ import annotations

import errno
import hashlib
import os
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from anyio import create_task_group, fail_after, move_on_after

from async_backup.config import Limits, Verify
from async_backup.demo.shell import Printed
from async_backup.errors import (
    ConnectionDropped,
    NoDigestCommand,
    RemoteDenied,
    RemoteError,
    RemoteExists,
    RemoteFull,
)
from async_backup.remote.naming import is_temporary
from async_backup.remote.privacy import Privacy
from async_backup.remote.ssh import watch
from async_backup.remote.ssh.connection import Connection
from async_backup.remote.store import SftpStore
from tests.embedded import Fault, embedded_server
from tests.file_faults import (
    AcknowledgeWithoutWriting,
    BitFlip,
    CloseChannel,
    CountWriters,
    CreateAnswerLost,
    DiskFull,
    DropConnection,
    Hang,
    NoLimits,
    OneWriter,
    OpenFails,
    OpenToOthers,
    RenameAnswerLost,
    RenameDenied,
    RenameIsSlow,
    RenamesOtherwise,
    TruncateOnClose,
)
from tests.shell_faults import (
    Babble,
    BrokenDigest,
    LyingDigest,
    OtherPaths,
    RefuseCommands,
    ShellEndsOnce,
    ShellWithoutAnswer,
    Volumes,
)
from tests.stores import FEW, DiskWorld, all_channels, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

CONTENT = random.Random(7).randbytes(3_000_000)
DIGEST = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
ONE = replace(FEW, connections=1, channels=1)
PATIENT = replace(FEW, retries=6)


@asynccontextmanager
async def store_with(
    base: Path, *faults: Fault, limits: Limits = FEW, verify: Verify = Verify.AUTO, timeout: float = 10
) -> AsyncIterator[SftpStore]:
    """A store on a server with `faults`, which must all have fired at the end."""
    with fail_after(60):
        async with (
            embedded_server(base, *faults) as server,
            opened(server.destination(b"/d"), server.ssh(timeout), limits, verify=verify) as store,
        ):
            yield store


def files(base: Path) -> dict[bytes, bytes]:
    return DiskWorld(base / "root" / "d").files()


async def put(store: SftpStore, path: bytes = b"/d/a") -> None:
    """Write the content in pieces of a segment's size."""
    file = await store.create(path)
    for start in range(0, len(CONTENT), 1_000_000):
        await file.write(start, CONTENT[start : start + 1_000_000])
    await file.finish()


async def test_a_small_file_on_a_full_disk_is_an_error_too(tmp_path: Path) -> None:
    async with store_with(tmp_path, DiskFull(after=100_000)) as store:
        file = await store.create(b"/d/a")
        with pytest.raises(RemoteFull, match="full"):
            await file.write_whole(CONTENT[:200_000])
        await file.abandon()


async def test_nothing_is_left_by_the_probe(tmp_path: Path) -> None:
    async with store_with(tmp_path) as store:
        assert (store.verification, store.verification_reason) == ("md5sum", "")
        assert store.directory == b"/d"
    assert files(tmp_path) == {}


async def test_other_hashes_are_found_and_computed_too(tmp_path: Path) -> None:
    async with (
        embedded_server(tmp_path) as server,
        opened(server.destination(b"/d"), server.ssh(), algorithm="sha256") as store,
    ):
        await put(store)
        stored = await store.digest(b"/d/a", len(CONTENT))
    assert stored == (hashlib.sha256(CONTENT).hexdigest(), "sha256sum")


async def test_a_full_disk_is_named_and_the_file_can_be_removed(tmp_path: Path) -> None:
    async with store_with(tmp_path, DiskFull(after=1_500_000)) as store:
        with pytest.raises(RemoteFull, match="full"):
            await put(store)
        await store.remove(b"/d/a")
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EROFS, RemoteDenied),
        (errno.EACCES, RemoteDenied),
        (errno.EDQUOT, RemoteFull),
        (errno.ENOSPC, RemoteFull),
        (errno.EIO, RemoteError),
    ],
)
async def test_a_directory_that_cannot_be_written_to_ends_the_run_at_once(
    tmp_path: Path, number: int, expected: type[RemoteError]
) -> None:
    with pytest.raises(expected) as raised:
        async with store_with(tmp_path, OpenFails(number)):
            pass
    assert type(raised.value) is expected
    assert files(tmp_path) == {}


@pytest.mark.parametrize("verify", [Verify.COMMAND, Verify.READBACK])
@pytest.mark.parametrize(
    "fault", [BitFlip(2_222_222), AcknowledgeWithoutWriting(1_000_000), TruncateOnClose(100, 100_000)], ids=repr
)
async def test_damage_on_the_server_shows_in_the_digest(tmp_path: Path, fault: Fault, verify: Verify) -> None:
    fault.fired = 0
    async with store_with(tmp_path, limits=ONE, verify=verify) as honest:
        assert honest.verification in {"md5sum", "readback"}
    async with (
        embedded_server(tmp_path / "faulty", fault) as server,
        opened(server.destination(b"/"), server.ssh(), ONE, verify=Verify.AUTO) as store,
    ):
        await put(store, b"/a")
        assert (await store.digest(b"/a", len(CONTENT))).value != DIGEST
    assert (tmp_path / "faulty" / "root" / "a").read_bytes() != CONTENT


async def test_a_server_that_loses_bytes_of_every_file_is_refused_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="does not come back"):
        async with store_with(tmp_path, TruncateOnClose(times=100)):
            pass
    assert files(tmp_path) == {}


@pytest.mark.parametrize("overwrites", [True, False])
async def test_a_file_that_is_there_stays_whatever_the_servers_rename_does(tmp_path: Path, overwrites: bool) -> None:
    fault = [RenamesOtherwise(tmp_path / "root", os.replace)] if overwrites else []
    async with store_with(tmp_path, *fault) as store:
        for name in (b"/d/a", b"/d/b"):
            await put(store, name)
        (tmp_path / "root/d/b").write_bytes(b"precious")
        with pytest.raises(RemoteExists, match="b exists already; nothing is overwritten"):
            await store.rename(b"/d/a", b"/d/b")
        assert files(tmp_path) == {b"a": CONTENT, b"b": b"precious"}
        await store.rename(b"/d/a", b"/d/c")
        assert set(files(tmp_path)) == {b"b", b"c"}


async def test_a_server_that_only_says_that_it_renames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="none has the new name"):
        async with store_with(tmp_path, RenamesOtherwise(tmp_path / "root", lambda source, target: None)):
            pass
    assert files(tmp_path) == {}


async def test_why_nothing_can_be_written_is_told_though_nothing_can_be_removed_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(store: SftpStore, path: bytes) -> None:
        raise RemoteError("removing fails too")

    monkeypatch.setattr(SftpStore, "remove", refuse)
    with pytest.raises(RemoteError, match=r"opening .*probe"):
        async with store_with(tmp_path, OpenFails(errno.EROFS)):
            pass
    assert files(tmp_path) == {}


async def test_one_file_is_written_through_all_channels(tmp_path: Path) -> None:
    writers = CountWriters()
    async with store_with(tmp_path, writers) as store:
        await all_channels(store)
        file = await store.create(b"/d/a")
        async with create_task_group() as tasks:
            for segment in range(8):
                tasks.start_soon(file.write, segment * len(CONTENT), CONTENT)
        await file.finish()
    assert len(writers.channels) == FEW.connections * FEW.channels
    assert files(tmp_path) == {b"a": CONTENT * 8}


@pytest.mark.parametrize("limits", [PATIENT, replace(PATIENT, connections=1, channels=1)], ids=["several", "one"])
@pytest.mark.parametrize("times", [1, 3])
async def test_after_a_lost_connection_the_segment_is_written_again(tmp_path: Path, times: int, limits: Limits) -> None:
    async with store_with(tmp_path, DropConnection(after=700_000, times=times), limits=limits) as store:
        await put(store)
        assert await store.digest(b"/d/a", len(CONTENT)) == (DIGEST, "md5sum")
    assert files(tmp_path) == {b"a": CONTENT}


@pytest.mark.parametrize("limits", [PATIENT, replace(PATIENT, connections=1, channels=1)], ids=["several", "one"])
async def test_after_a_lost_channel_the_segment_is_written_again(tmp_path: Path, limits: Limits) -> None:
    async with store_with(tmp_path, CloseChannel(after=700_000, times=3), limits=limits) as store:
        await put(store)
        assert await store.digest(b"/d/a", len(CONTENT)) == (DIGEST, "md5sum")
    assert files(tmp_path) == {b"a": CONTENT}


async def test_without_retries_a_lost_connection_is_an_error(tmp_path: Path) -> None:
    limits = replace(FEW, retries=0)
    async with store_with(tmp_path, DropConnection(after=700_000), limits=limits) as store:
        with pytest.raises(ConnectionDropped):
            await put(store)
    assert len(files(tmp_path)[b"a"]) < len(CONTENT)


async def test_a_connection_that_is_lost_again_and_again_is_an_error(tmp_path: Path) -> None:
    async with store_with(tmp_path, DropConnection(after=300_000, times=1000)) as store:
        with pytest.raises(ConnectionDropped):
            await put(store)
        await store.remove(b"/d/a")
    assert files(tmp_path) == {}


@pytest.fixture
def fast_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data under way gives an answer no time worth mentioning."""
    monkeypatch.setattr(watch, "_SLOWEST_RATE", 1 << 30)


@pytest.mark.usefixtures("fast_line")
async def test_a_channel_that_hangs_does_not_stop_the_others(tmp_path: Path) -> None:
    async with store_with(tmp_path, Hang(after=12, one_channel=True), limits=PATIENT, timeout=1) as store:
        await put(store)
        assert await store.digest(b"/d/a", len(CONTENT)) == (DIGEST, "md5sum")
    assert files(tmp_path) == {b"a": CONTENT}


@pytest.mark.usefixtures("fast_line")
async def test_a_server_that_answers_nothing_any_more_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    limits = replace(FEW, retries=1)
    async with store_with(tmp_path, Hang(after=10), limits=limits, timeout=1) as store:
        with pytest.raises(ConnectionDropped), fail_after(30):
            await put(store)
    assert len(files(tmp_path)[b"a"]) < len(CONTENT)


async def test_an_old_server_gets_small_packets(tmp_path: Path) -> None:
    async with store_with(tmp_path, NoLimits()) as store:
        await put(store)
    assert files(tmp_path) == {b"a": CONTENT}


@pytest.mark.parametrize("faults", [[], [DropConnection(after=700_000)]], ids=["calm", "dropped"])
async def test_a_server_that_refuses_a_second_writer_is_used_with_one(tmp_path: Path, faults: list[Fault]) -> None:
    async with store_with(tmp_path, OneWriter(), *faults, limits=PATIENT) as store:
        file = await store.create(b"/d/a")
        async with create_task_group() as tasks:
            for start in range(0, len(CONTENT), 300_000):
                tasks.start_soon(file.write, start, CONTENT[start : start + 300_000])
        await file.finish()
    assert files(tmp_path) == {b"a": CONTENT}


@pytest.mark.parametrize("fault", [RefuseCommands, Babble, ShellWithoutAnswer, OtherPaths])
async def test_without_a_command_that_works_files_are_read_back_and_the_reason_is_told(
    tmp_path: Path, fault: type[Fault]
) -> None:
    async with store_with(tmp_path, fault(), timeout=1.5) as store:
        assert store.verification == "readback"
        assert store.verification_reason
        await put(store)
        assert await store.digest(b"/d/a", len(CONTENT)) == (DIGEST, "readback")
    assert files(tmp_path) == {b"a": CONTENT}


@pytest.mark.parametrize(("for_good", "privacy"), [(False, Privacy.ON_REQUEST), (True, Privacy.NONE)])
async def test_a_server_that_gives_files_a_mode_of_its_own_is_asked_again(
    tmp_path: Path, for_good: bool, privacy: Privacy
) -> None:
    async with store_with(tmp_path, OpenToOthers(for_good=for_good)) as store:
        assert store.privacy is privacy
        await put(store)
    (file,) = (path for path in (tmp_path / "root" / "d").iterdir())
    assert file.stat().st_mode & 0o777 == (0o644 if for_good else 0o600)


async def test_a_nas_that_shows_its_shell_volumes_computes_digests(tmp_path: Path) -> None:
    fault = Volumes()
    async with store_with(tmp_path, fault) as store:
        assert (store.verification, store.verification_reason) == ("md5sum", "")
        await put(store)
        assert await store.digest(b"/d/a", len(CONTENT)) == (DIGEST, "md5sum")
        async with create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(store.digest, b"/d/a", 10)
        assert await store.digest(b"/d/a", 10) == (DIGEST, "md5sum")
    assert any(line.count(b" /volume2/d/a") > 1 for line in fault.lines)
    assert files(tmp_path) == {b"a": CONTENT}


@pytest.mark.parametrize("told", [b"", b"/volume1", b"/volume2/..", b"volume2", b"$(id)", b"/volume2;id", b"\xff\n\0"])
async def test_what_is_no_volume_of_a_nas_is_passed_over(tmp_path: Path, told: bytes) -> None:
    fault = Volumes(told)
    async with store_with(tmp_path, fault) as store:
        assert store.verification == "readback"
    assert not any(b"id" in line or b".." in line for line in fault.lines)


@pytest.mark.parametrize("fault", [RefuseCommands, Babble, OtherPaths])
async def test_who_insists_on_a_command_is_told_that_there_is_none(tmp_path: Path, fault: type[Fault]) -> None:
    with pytest.raises(NoDigestCommand, match="--verify"):
        async with store_with(tmp_path, fault(), verify=Verify.COMMAND):
            pass
    assert files(tmp_path) == {}


BROKEN = [
    Printed(1, DIGEST.encode() + b"  -\n"),
    Printed(137, b""),
    Printed(0, b""),
    Printed(0, DIGEST[:-1].encode() + b"  -\n"),
    Printed(0, DIGEST.encode() + b"  -\n" + b"0" * 32 + b"  -\n"),
    Printed(0, b"x" * 200_000),
    Printed(0, b"\xff\x9b \0 \n" * 10),
]


@pytest.mark.parametrize("printed", BROKEN, ids=lambda printed: f"{printed.status}-{printed.output[:6]!r}")
async def test_an_answer_that_is_no_digest_is_never_believed(tmp_path: Path, printed: Printed) -> None:
    async with store_with(tmp_path, BrokenDigest(printed)) as store:
        assert store.verification == "md5sum"
        await put(store)
        assert await store.digest(b"/d/a", len(CONTENT)) == (DIGEST, "readback")


async def test_who_insists_on_a_command_gets_an_error_where_its_answer_is_none(tmp_path: Path) -> None:
    async with store_with(tmp_path, BrokenDigest(Printed(137, b"Killed")), verify=Verify.COMMAND) as store:
        await put(store)
        with pytest.raises(RemoteError, match=r"137.*Killed"):
            await store.digest(b"/d/a", len(CONTENT))


async def test_a_digest_that_differs_is_given_as_it_is(tmp_path: Path) -> None:
    async with store_with(tmp_path, LyingDigest()) as store:
        await put(store)
        assert await store.digest(b"/d/a", len(CONTENT)) == ("0" * 32, "md5sum")


async def test_a_shell_that_ended_is_replaced(tmp_path: Path) -> None:
    async with store_with(tmp_path, ShellEndsOnce(command=2), limits=ONE) as store:
        await put(store)
        for _ in range(3):
            assert await store.digest(b"/d/a", len(CONTENT)) == (DIGEST, "md5sum")


@pytest.mark.parametrize("done", [True, False])
async def test_a_rename_whose_answer_was_lost_has_happened_exactly_once(tmp_path: Path, done: bool) -> None:
    async with store_with(tmp_path, RenameAnswerLost(done=done)) as store:
        await put(store)
        await store.rename(b"/d/a", b"/d/b")
    assert files(tmp_path) == {b"b": CONTENT}


@pytest.mark.parametrize("done", [True, False])
async def test_a_lost_answer_does_not_make_a_rename_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    monkeypatch.setattr(Connection, "is_openssh", True)  # which is not asked beforehand
    world = DiskWorld(tmp_path / "root" / "d")
    async with store_with(tmp_path, RenameAnswerLost(done=done)) as store:
        await put(store)
        if not done:
            world.put(b"b", b"theirs")
            with pytest.raises(RemoteExists):
                await store.rename(b"/d/a", b"/d/b")
            return
        await store.rename(b"/d/a", b"/d/b")
        world.put(b"a", b"another one")
        with pytest.raises(RemoteExists):
            await store.rename(b"/d/a", b"/d/b")
    assert world.files() == {b"a": b"another one", b"b": CONTENT}


@pytest.mark.parametrize(
    "fault", [RenameAnswerLost(done=True, rename=1), RenameAnswerLost(done=False, rename=1), RenameIsSlow()]
)
async def test_of_trying_a_server_out_nothing_is_left_whatever_becomes_of_the_rename(
    tmp_path: Path, fault: Fault
) -> None:
    async with store_with(tmp_path, fault) as store:
        await put(store)
    assert files(tmp_path) == {b"a": CONTENT}


async def test_a_server_that_refuses_renames_is_told_of_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(RemoteDenied, match="can be made in /d, but not renamed"):
        async with store_with(tmp_path, RenameDenied()):
            pytest.fail("nothing could get its name here")
    assert files(tmp_path) == {}


async def test_a_new_file_whose_answer_was_lost_is_made_anew(tmp_path: Path) -> None:
    async with store_with(tmp_path, CreateAnswerLost(file=2)) as store:
        await put(store)
    assert files(tmp_path) == {b"a": CONTENT}


async def test_a_new_file_whose_answer_was_lost_for_good_is_removed(tmp_path: Path) -> None:
    async with store_with(tmp_path, CreateAnswerLost(file=2), limits=replace(FEW, retries=0)) as store:
        with pytest.raises(ConnectionDropped):
            await store.create(b"/d/a")
    assert files(tmp_path) == {}


async def test_a_write_that_is_cancelled_can_be_abandoned_and_removed(tmp_path: Path) -> None:
    async with store_with(tmp_path, limits=FEW) as store:
        file = await store.create(b"/d/a")
        with move_on_after(0.01):
            while True:
                await file.write(0, CONTENT)
        await file.abandon()
        await store.remove(b"/d/a")
        assert files(tmp_path) == {}
        await put(store)
    assert files(tmp_path) == {b"a": CONTENT}


async def test_a_cancelled_start_leaves_at_most_a_temporary_name(tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as server:
        for i in range(12):
            with move_on_after(0.005 * i):
                async with opened(server.destination(b"/d"), server.ssh()):
                    pass
        async with opened(server.destination(b"/d"), server.ssh()) as store:
            await put(store)
    assert all(name == b"a" or is_temporary(name) for name in files(tmp_path))
