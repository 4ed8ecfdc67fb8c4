"""One archive's life: what is there under which name, whatever goes wrong on the way."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from anyio import Event, create_task_group, fail_after, sleep_forever, wait_all_tasks_blocked

from async_backup import transfer
from async_backup.body import Body
from async_backup.errors import (
    BackupError,
    ConnectionDropped,
    DigestMismatch,
    LinkFailed,
    RemoteDenied,
    RemoteError,
    RemoteExists,
    RemoteFull,
    RemoteNotFound,
    SourceError,
)
from async_backup.events import FileProblem
from async_backup.model import Entry, Problems
from async_backup.remote.base import StoredDigest
from async_backup.remote.memory import LostAnswer, MemoryStore
from async_backup.remote.naming import is_temporary
from tests.runs import InProcessWorkers, archive_name, extracted, make_source, md5, new_transfer, new_uploader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from async_backup.remote.memory import Fault
    from async_backup.transfer import Uploaded

pytestmark = pytest.mark.anyio

NAME = archive_name("large")
FINAL = b"/backups/" + NAME


class Bench:
    """A transfer of one entry into a store in memory."""

    def __init__(self, source: Path, store: MemoryStore, *, checksum_file: bool = True) -> None:
        self.contents = make_source(source)
        self.store = store
        self.workers = InProcessWorkers()
        self.events: list[object] = []
        self.transfer = new_transfer(store, self.events.append, checksum_file=checksum_file)
        self.uploader = new_uploader(self.workers, self.events.append)
        self.entry = Entry(source, b"large", b"", NAME)

    async def upload(self, entry: Entry | None = None) -> Uploaded:
        (result,) = await self.uploader.upload(entry or self.entry, 1, [self.transfer], hard_links=True)
        if isinstance(result, BackupError):
            raise result
        return result

    async def upload_and_commit(self) -> object:
        uploaded = await self.upload()
        return await self.transfer.commit(uploaded)

    async def upload_and_commit_if_it_can(self) -> None:
        with suppress(ConnectionDropped):
            await self.upload_and_commit()

    @property
    def temporary(self) -> list[bytes]:
        return [name for name in self.store.files if is_temporary(name.rpartition(b"/")[2])]


@contextmanager
def bench(source: Path, store: MemoryStore | None = None, *, checksum_file: bool = True) -> Iterator[Bench]:
    """A bench whose faults must all come to pass, and whose slots must all be free again at the end."""
    made = Bench(source, store or MemoryStore(), checksum_file=checksum_file)
    try:
        yield made
        assert made.store.unused_faults == 0
        assert made.workers.free_slots == made.workers.slots.count
    finally:
        made.workers.slots.close()


async def test_a_committed_archive_holds_everything_and_has_its_checksum_beside_it(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        await b.upload_and_commit()
    assert set(b.store.files) == {FINAL, FINAL + b".md5"}
    assert extracted(b.store.files[FINAL]) == b.contents["large"]
    assert b.store.files[FINAL + b".md5"] == f"{md5(b.store.files[FINAL])}  {NAME.decode()}\n".encode()


async def test_the_directory_is_flushed_after_the_rename(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        await b.upload_and_commit()
    assert b.store.requests.index("sync_directory") > b.store.requests.index("rename")
    assert b.store.requests.count("finish") == 2


async def test_until_it_is_verified_an_archive_has_no_final_name(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        uploaded = await b.upload()
        assert b.temporary == list(b.store.files) == [uploaded.temporary]
        await b.transfer.commit(uploaded)
    assert b.temporary == []


async def test_a_failed_rename_keeps_what_was_there(tmp_path: Path) -> None:
    with bench(tmp_path, MemoryStore(faults={"rename": [RemoteDenied("no")]})) as b:
        b.store.put(b"/backups/yesterday", b"yesterday")
        with pytest.raises(RemoteDenied):
            await b.upload_and_commit()
    assert b.store.files == {b"/backups/yesterday": b"yesterday"}


async def test_an_archive_of_the_same_name_is_never_overwritten(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.store.put(FINAL, b"theirs")
        with pytest.raises(RemoteExists):
            await b.upload_and_commit()
    assert b.store.files == {FINAL: b"theirs"}


async def test_a_checksum_file_is_never_overwritten_and_the_archive_is_committed(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.store.put(FINAL + b".md5", b"theirs")
        committed = await b.upload_and_commit()
    assert committed.problems.losses == 1  # type: ignore[attr-defined]
    assert len([event for event in b.events if isinstance(event, FileProblem)]) == 1
    assert b.store.files.keys() == {FINAL, FINAL + b".md5"}
    assert b.store.files[FINAL + b".md5"] == b"theirs"


async def test_no_checksum_file_is_written_where_none_is_wanted(tmp_path: Path) -> None:
    with bench(tmp_path, checksum_file=False) as b:
        await b.upload_and_commit()
    assert set(b.store.files) == {FINAL}


class Damaging(MemoryStore):
    """Every digest is that of other bytes."""

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        await super().digest(path, size)
        return StoredDigest("0" * 32, "liar")


async def test_on_a_mismatch_the_temporary_file_goes_and_both_values_are_told(tmp_path: Path) -> None:
    with bench(tmp_path, Damaging()) as b:
        uploaded = await b.upload()
        with pytest.raises(DigestMismatch) as raised:
            await b.transfer.commit(uploaded)
    assert (raised.value.sent, raised.value.stored) == (uploaded.body.digest, "0" * 32)
    assert uploaded.body.digest in str(raised.value)
    assert "0" * 32 in str(raised.value)
    assert b.store.files == {}


@pytest.mark.parametrize("request_name", ["create", "write", "finish", "digest", "rename"])
@pytest.mark.parametrize("error", [ConnectionDropped("gone"), RemoteFull("full")], ids=["dropped", "full"])
async def test_whatever_fails_nothing_is_left(
    tmp_path: Path, request_name: str, error: ConnectionDropped | RemoteFull
) -> None:
    store = MemoryStore(faults={request_name: [error]})
    with bench(tmp_path, store) as b, pytest.raises(type(error)):
        await b.upload_and_commit()
    assert b.store.files == {}


async def test_the_last_of_many_writes_fails_like_the_first(tmp_path: Path) -> None:
    store = MemoryStore(faults={"write": [None, None, None, RemoteFull("full")]})
    with bench(tmp_path, store) as b, pytest.raises(RemoteFull):
        await b.upload_and_commit()
    assert b.store.files == {}


async def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    faults: dict[str, list[Fault]] = {"digest": [ConnectionDropped("gone")], "remove": [ConnectionDropped("gone")]}
    with bench(tmp_path, MemoryStore(faults=faults)) as b, pytest.raises(ConnectionDropped) as raised:
        await b.upload_and_commit()
    (left,) = b.temporary
    assert b.transfer.leftovers == [left.decode()]
    assert left.decode() in raised.value.__notes__[0]


async def test_a_rename_whose_answer_was_lost_leaves_the_verified_archive(tmp_path: Path) -> None:
    store = MemoryStore(faults={"rename": [LostAnswer(ConnectionDropped("gone"))]})
    with bench(tmp_path, store) as b, pytest.raises(ConnectionDropped):
        await b.upload_and_commit()
    assert list(b.store.files) == [FINAL]
    assert extracted(b.store.files[FINAL]) == b.contents["large"]


@pytest.mark.parametrize("request_name", ["create", "write", "finish", "rename"])
async def test_without_its_checksum_file_an_archive_is_still_committed(tmp_path: Path, request_name: str) -> None:
    with bench(tmp_path) as b:
        uploaded = await b.upload()
        script: list[Fault] = [RemoteFull("full")]
        if request_name == "rename":
            script.insert(0, None)
        b.store.add_faults(request_name, script)
        committed = await b.transfer.commit(uploaded)
    assert [problem.kind for problem in committed.problems.first] == ["checksum-file"]
    assert list(b.store.files) == [FINAL]


async def test_an_entry_that_cannot_be_read_is_an_error_of_the_source(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        missing = Entry(tmp_path, b"missing", b"", b"missing.tar.gz")
        with pytest.raises(SourceError):
            await b.upload(missing)
    assert b.store.files == {}


class Gate(MemoryStore):
    """Stops at the n-th request until it is let go on, or for ever."""

    def __init__(self, closed_at: int) -> None:
        super().__init__()
        self._closed_at = closed_at
        self.reached = Event()

    @asynccontextmanager
    async def request(self, name: str) -> AsyncIterator[None]:
        async with super().request(name):
            if len(self.requests) == self._closed_at:
                self.reached.set()
                await sleep_forever()
            yield


async def test_cancelled_at_any_request_it_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "CLEANUP_GRACE", 0.2)
    n, was_reached = 0, True
    while was_reached:
        n += 1
        store = Gate(closed_at=n)
        with bench(tmp_path, store) as b, fail_after(10):
            async with create_task_group() as tasks:
                tasks.start_soon(b.upload_and_commit_if_it_can)
                await wait_all_tasks_blocked()
                b.transfer.hurry()
                tasks.cancel_scope.cancel()
        was_reached = store.reached.is_set()
        assert b.temporary == []
        assert not store.files or extracted(store.files[FINAL]) == b.contents["large"]
    assert n > 10


@pytest.mark.parametrize("fault", [RemoteError("memory: the disk is bad"), RemoteNotFound("memory: no such file")])
@pytest.mark.parametrize("request_name", ["digest", "rename"])
async def test_a_link_that_cannot_be_used_asks_for_the_archive_to_be_sent(
    tmp_path: Path, fault: RemoteError, request_name: str
) -> None:
    with bench(tmp_path) as made:
        await made.upload_and_commit()
        link = await made.upload()
        digest = md5(made.store.files[link.temporary])
        link = replace(link, body=Body(1, 1, 1, digest, Problems(), same_as=NAME))
        made.store.add_faults(request_name, [fault])
        with pytest.raises(LinkFailed, match="cannot be linked to") as failed:
            await made.transfer.commit(link)
        assert failed.value.is_of_reuse
        assert made.temporary == []
