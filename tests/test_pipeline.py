"""All entries together: each gets exactly one outcome, and what is left keeps the promises, whatever happens."""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, sleep_forever

from async_backup import transfer
from async_backup.archive.selection import Selection
from async_backup.body import SMALL
from async_backup.errors import (
    ConnectionDropped,
    DigestMismatch,
    ExitCode,
    RemoteError,
    RemoteExists,
    RemoteFull,
    SourceError,
    WorkerDied,
)
from async_backup.events import AttemptFailed, EntryEnded, EntryFound, EntrySkipped, EntryStarted, SourceEmpty, Stopping
from async_backup.model import Committed, Entry, Failed, Interrupted
from async_backup.pipeline import Pipeline
from async_backup.remote.base import StoredDigest
from async_backup.remote.memory import ANY, LostAnswer, MemoryStore
from async_backup.scan import Source, scan_all
from tests.embedded import embedded_server
from tests.file_faults import BitFlip, Hang, RenameHangs
from tests.runs import (
    LIMITS,
    InProcessWorkers,
    archive_name,
    check_world,
    make_source,
    new_transfer,
    new_uploader,
    run_pipeline,
)
from tests.shell_faults import LyingDigest
from tests.stores import DiskWorld, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from async_backup.remote.memory import Fault, MemoryFile
    from async_backup.slots import Slot
    from async_backup.worker_process import PackedSlot

pytestmark = pytest.mark.anyio

GONE = ConnectionDropped("gone")


def names(store: MemoryStore) -> dict[bytes, bytes]:
    return {os.path.basename(path): content for path, content in store.files.items()}


def times(directory: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in directory.rglob("*")}


async def test_every_entry_is_committed_whole(tmp_path: Path) -> None:
    contents, store = make_source(tmp_path), MemoryStore()
    outcome = await run_pipeline(store, tmp_path)
    assert outcome.report.exit_code is ExitCode.COMPLETE
    assert len(outcome.report.committed) == len(contents)
    check_world(names(store), outcome, contents)


async def test_every_outcome_is_one_event_and_the_source_is_only_read(tmp_path: Path) -> None:
    contents, store = make_source(tmp_path), MemoryStore()
    before = times(tmp_path)
    outcome = await run_pipeline(store, tmp_path)
    assert len(outcome.happened(EntryFound)) == len(outcome.happened(EntryEnded)) == len(contents)
    assert times(tmp_path) == before


async def test_one_worker_one_slot_too_few_and_a_short_queue_are_enough(tmp_path: Path) -> None:
    contents, store, workers = make_source(tmp_path), MemoryStore(), InProcessWorkers(slots=1)
    limits = replace(LIMITS, workers=1, queue=1)
    outcome = await run_pipeline(store, tmp_path, limits=limits, workers=workers)
    workers.slots.close()
    check_world(names(store), outcome, contents)
    assert workers.free_slots == 1


class Gated(MemoryStore):
    """Answers no write of a whole archive before so many have been begun; counts the files that are written to."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.wanted = wanted
        self.begun = 0
        self.most_begun = 0
        self._enough = Event()

    async def create(self, path: bytes) -> MemoryFile:
        file = await super().create(path)
        if not path.endswith(b".md5.part") and b".md5." not in path:
            self.begun += 1
            self.most_begun = max(self.most_begun, self.begun)
            if self.begun >= self.wanted:
                self._enough.set()
            await self._enough.wait()
        return file

    async def rename(self, source: bytes, target: bytes) -> None:
        await super().rename(source, target)
        self.begun -= not target.endswith(b".md5")


async def test_small_archives_wait_for_the_server_beside_those_that_are_packed(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"entry-{number}").write_bytes(b"%d" % number)
    limits = replace(LIMITS, workers=1, connections=1, channels=1)
    store = Gated(wanted=limits.workers + limits.small_archives)
    workers = InProcessWorkers(slots=1)
    with fail_after(20):
        outcome = await run_pipeline(store, tmp_path, limits=limits, workers=workers)
    assert len(outcome.report.committed) == 20
    assert workers.free_slots == 1
    workers.slots.close()


async def test_larger_ones_keep_their_places(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"entry-{number}").write_bytes(os.urandom(SMALL + 1))
    store = Gated(wanted=1)
    outcome = await run_pipeline(store, tmp_path, limits=replace(LIMITS, workers=2))
    assert len(outcome.report.committed) == 6
    assert 1 <= store.most_begun <= 2 + LIMITS.workers
    assert len(outcome.happened(EntryStarted)) == 6


async def test_a_bad_entry_does_not_stop_the_others(tmp_path: Path) -> None:
    contents = make_source(tmp_path)
    store = MemoryStore()
    store.put(b"/backups/" + archive_name("small"), b"theirs")
    outcome = await run_pipeline(store, tmp_path)
    assert (outcome.of("small"), outcome.of("large"), outcome.of("file")) == ("Failed", "Committed", "Committed")
    assert outcome.report.exit_code is ExitCode.INCOMPLETE
    assert names(store).pop(archive_name("small")) == b"theirs"
    assert len(store.files) == 2 * len(contents) - 1


async def test_a_name_known_to_be_taken_costs_no_upload(tmp_path: Path) -> None:
    make_source(tmp_path)
    store = MemoryStore()
    taken = frozenset({archive_name("large"), archive_name("file"), archive_name("small")})
    outcome = await run_pipeline(store, tmp_path, taken=taken)
    assert [type(failed.error) for failed in outcome.report.failed] == [RemoteExists] * 3
    assert store.requests.count("create") == 2


async def test_sockets_are_skipped_and_said_so(tmp_path: Path) -> None:
    contents, store = make_source(tmp_path), MemoryStore()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    outcome = await run_pipeline(store, tmp_path)
    assert len(outcome.happened(EntrySkipped)) == 1
    check_world(names(store), outcome, contents)


class Liar(MemoryStore):
    """The first `lies` digests are those of other bytes."""

    def __init__(self, lies: int) -> None:
        super().__init__()
        self.lies = lies

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        stored = await super().digest(path, size)
        self.lies -= 1
        return StoredDigest("0" * 32, "liar") if self.lies >= 0 else stored


async def test_after_a_mismatch_the_archive_is_made_again(tmp_path: Path) -> None:
    contents, store = make_source(tmp_path), Liar(lies=2)
    outcome = await run_pipeline(store, tmp_path)
    assert outcome.report.exit_code is ExitCode.COMPLETE
    assert len(outcome.happened(AttemptFailed)) == 2
    assert sum(committed.attempts for committed in outcome.report.committed) == len(contents) + 2
    check_world(names(store), outcome, contents)


async def test_after_mismatches_to_the_end_the_entry_has_failed_with_both_values(tmp_path: Path) -> None:
    contents, store = make_source(tmp_path), Liar(lies=1000)
    outcome = await run_pipeline(store, tmp_path)
    assert len(outcome.report.failed) == len(contents)
    for failed in outcome.report.failed:
        assert isinstance(failed.error, DigestMismatch)
        assert failed.error.stored == "0" * 32
        assert failed.error.sent != failed.error.stored
        assert failed.attempts == LIMITS.retries + 1
    assert store.requests.count("create") == len(contents) * (LIMITS.retries + 1)
    assert store.files == {}


@pytest.mark.parametrize(
    ("fault", "is_survived"),
    [(GONE, True), (RemoteFull("full"), False), (LostAnswer(GONE), False), (RemoteError("Failure"), False)],
    ids=["dropped", "full", "answer lost", "failure"],
)
async def test_a_fault_at_any_request_leaves_what_is_promised(tmp_path: Path, fault: Fault, is_survived: bool) -> None:
    contents = make_source(tmp_path)
    n = 0
    while True:
        store = MemoryStore(faults={ANY: [*[None] * n, fault]})
        with fail_after(20):
            outcome = await run_pipeline(store, tmp_path)
        check_world(names(store), outcome, contents, leftovers=isinstance(fault, LostAnswer))
        if store.unused_faults:
            break
        survived = len(outcome.report.committed) == len(contents)
        assert survived or not is_survived or outcome.report.failed == ()
        n += 1
    assert n > 40


async def test_two_faults_in_a_row_may_leave_a_temporary_name_that_the_next_run_removes(tmp_path: Path) -> None:
    contents = make_source(tmp_path)
    n, leftovers = 0, 0
    while True:
        store = MemoryStore(faults={ANY: [*[None] * n, RemoteFull("full"), GONE, GONE, GONE]})
        with fail_after(20):
            outcome = await run_pipeline(store, tmp_path)
        if store.unused_faults == 4:
            break
        leftovers += len(outcome.report.leftovers)
        check_world(names(store), outcome, contents, leftovers=len(outcome.report.leftovers))
        n += 1
    assert leftovers > 0


class StopAt(MemoryStore):
    """Asks for the end of the run at the n-th request; requests named in `hanging` give no answer from then on."""

    def __init__(self, stop_at: int, *, hanging: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._stop_at = stop_at
        self._hanging = hanging
        self.stop = Event()

    @asynccontextmanager
    async def request(self, name: str) -> AsyncIterator[None]:
        async with super().request(name):
            if len(self.requests) >= self._stop_at:
                self.stop.set()
            if self.stop.is_set() and name in self._hanging:
                await sleep_forever()
            yield


async def test_stopped_at_any_request_every_entry_has_its_outcome_and_nothing_is_left(tmp_path: Path) -> None:
    contents = make_source(tmp_path)
    n, interrupted = 0, 0
    while True:
        n += 1
        store, workers = StopAt(n), InProcessWorkers()
        with fail_after(5):
            outcome = await run_pipeline(store, tmp_path, stop=store.stop, workers=workers)
        workers.slots.close()
        check_world(names(store), outcome, contents)
        assert workers.free_slots == workers.slots.count
        if not store.stop.is_set():
            break
        assert workers.is_aborted
        assert outcome.report.is_interrupted == bool(outcome.report.interrupted)
        assert (outcome.report.exit_code is ExitCode.INTERRUPTED) == (len(outcome.report.committed) < len(contents))
        interrupted += len(outcome.report.interrupted)
    assert interrupted > 40


@pytest.mark.parametrize("hanging", ["create", "write", "finish", "digest", "rename", "remove"])
async def test_a_server_that_gives_no_answer_does_not_hold_up_the_end(
    tmp_path: Path, hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if hanging != "rename":  # which takes the longest, and is enough to see that the real values keep the promise
        monkeypatch.setattr(transfer, "CLEANUP_GRACE", 0.2)
    contents, store = make_source(tmp_path), StopAt(9, hanging=frozenset({hanging, "remove"}))
    with fail_after(5):
        outcome = await run_pipeline(store, tmp_path, stop=store.stop)
    assert outcome.report.exit_code is ExitCode.INTERRUPTED
    assert len(outcome.happened(Stopping)) == 1
    assert {type(found) for found in outcome.report.outcomes} <= {Interrupted, Committed}
    check_world(names(store), outcome, contents, leftovers=len(outcome.report.leftovers))


async def test_stopped_before_it_began_every_entry_is_interrupted(tmp_path: Path) -> None:
    contents, store, stop = make_source(tmp_path), MemoryStore(), Event()
    stop.set()
    with fail_after(5):
        outcome = await run_pipeline(store, tmp_path, stop=stop)
    assert len(outcome.report.interrupted) == len(contents)
    assert store.files == {}


async def test_of_many_entries_those_not_yet_found_are_interrupted_too(tmp_path: Path) -> None:
    for i in range(500):
        (tmp_path / f"{i}").touch()
    store = StopAt(20)
    with fail_after(5):
        outcome = await run_pipeline(store, tmp_path, stop=store.stop)
    assert len(outcome.report.outcomes) == 500
    assert len({found.entry.name for found in outcome.report.outcomes}) == 500


class Dying(InProcessWorkers):
    """Asks for the end of the run at the first segment, which then fails as when its process is ended."""

    def __init__(self) -> None:
        super().__init__()
        self.stop = Event()
        self._aborted = Event()

    async def pack(self, source: bytes, job: bytes, slot: Slot) -> PackedSlot:
        with CancelScope(shield=True):  # as the wait for a real process is
            self.stop.set()
            await self._aborted.wait()
        raise WorkerDied("the process was ended")

    def abort(self) -> None:
        self._aborted.set()


async def test_a_failure_that_stopping_brings_about_is_no_failure_of_the_entry(tmp_path: Path) -> None:
    contents, store, workers = make_source(tmp_path), MemoryStore(), Dying()
    limits = replace(LIMITS, retries=0)
    outcome = await run_pipeline(store, tmp_path, stop=workers.stop, workers=workers, limits=limits)
    workers.slots.close()
    assert outcome.of("large") == "Interrupted"
    assert outcome.report.failed == ()
    check_world(names(store), outcome, contents)


async def test_a_source_that_cannot_be_listed_to_its_end_is_reported_and_the_rest_is_backed_up(tmp_path: Path) -> None:
    contents, store, workers = make_source(tmp_path / "here"), MemoryStore(), InProcessWorkers()
    into = new_transfer(store, lambda _: None, checksum_file=False)
    sources = [Source(tmp_path / "missing", b""), Source(tmp_path / "here", b"")]
    pipeline = Pipeline(new_uploader(workers, lambda _: None), [into], LIMITS, lambda _: None)
    found = scan_all(sources, "now", Selection())
    report = await pipeline.run(found, Event(), verifiers=1, on_stop=workers.abort)
    workers.slots.close()
    assert [type(error) for error in report.source_errors] == [SourceError]
    assert (len(report.committed), report.exit_code) == (len(contents), ExitCode.INCOMPLETE)


def found_in(sources: list[Source], *only: str, exclude: tuple[str, ...] = ()) -> list[str]:
    """What a scan gives: names of entries, and words for the rest."""
    return sorted(
        item.name.decode() if isinstance(item, Entry) else str(item) if isinstance(item, SourceError) else repr(item)
        for item in scan_all(sources, "now", Selection(exclude), only)
    )


def test_a_name_is_wanted_of_all_sources_and_has_to_be_in_one(tmp_path: Path) -> None:
    for path in ("one/both", "one/mine", "two/both", "two/yours", "three/other"):
        (tmp_path / path).mkdir(parents=True)
    sources = [Source(tmp_path / name, name.encode()) for name in ("one", "two", "three")]
    assert found_in(sources, "both", "mine") == ["both", "both", "mine"]
    where = " or ".join(str(source.path) for source in sources)
    assert found_in(sources, "mine", "bot") == ["mine", f"there is no entry called bot in {where}"]


def test_a_source_of_which_nothing_is_wanted_is_not_empty_but_one_that_is_left_out_is(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    source = Source(tmp_path, b"")
    skipped = repr(EntrySkipped(os.fsencode(tmp_path / "entry"), "excluded"))
    empty = repr(SourceEmpty(os.fsencode(tmp_path), 1))
    assert found_in([source], "entry", exclude=("entry",)) == sorted([skipped, empty])
    assert found_in([source], "entry") == ["entry"]
    (tmp_path / "none").mkdir()
    assert found_in([source, Source(tmp_path / "none", b"none")], "entry") == ["entry"]
    assert found_in([Source(tmp_path / "none", b"")]) == [repr(SourceEmpty(os.fsencode(tmp_path / "none"), 0))]


def test_a_source_that_cannot_be_listed_is_not_called_empty(tmp_path: Path) -> None:
    (error,) = found_in([Source(tmp_path / "missing", b"")])
    assert "cannot be read to its end" in error


async def test_a_file_that_cannot_be_read_costs_no_other_file(tmp_path: Path) -> None:
    contents, store = make_source(tmp_path), MemoryStore()
    (tmp_path / "small" / "a").unlink()
    os.mkfifo(tmp_path / "small" / "fifo")
    del contents["small"]["small/a"]
    outcome = await run_pipeline(store, tmp_path)
    check_world(names(store), outcome, contents)


async def test_on_a_real_protocol_a_spoiled_archive_is_made_again(tmp_path: Path) -> None:
    contents = make_source(tmp_path / "source")
    async with (
        embedded_server(tmp_path, BitFlip(5000)) as server,
        opened(server.destination(b"/d"), server.ssh()) as store,
    ):
        outcome = await run_pipeline(store, tmp_path / "source", base=b"/d")
    assert outcome.report.exit_code is ExitCode.COMPLETE
    assert len(outcome.happened(AttemptFailed)) == 1
    check_world(DiskWorld(tmp_path / "root" / "d").files(), outcome, contents)


async def test_on_a_real_protocol_a_command_that_lies_commits_nothing(tmp_path: Path) -> None:
    contents = make_source(tmp_path / "source")
    async with (
        embedded_server(tmp_path, LyingDigest()) as server,
        opened(server.destination(b"/d"), server.ssh()) as store,
    ):
        outcome = await run_pipeline(store, tmp_path / "source", base=b"/d")
    assert {type(failed.error) for failed in outcome.report.failed} == {DigestMismatch}
    assert len(outcome.report.failed) == len(contents)
    assert DiskWorld(tmp_path / "root" / "d").files() == {}


@pytest.mark.parametrize("fault", [Hang, RenameHangs])
async def test_on_a_real_protocol_a_run_against_a_silent_server_ends_soon(
    tmp_path: Path, fault: type[Hang | RenameHangs]
) -> None:
    contents = make_source(tmp_path / "source")
    planned = Hang(after=20) if fault is Hang else RenameHangs()
    stop = Event()

    async def stop_when_it_hangs() -> None:
        await planned.has_fired.wait()
        stop.set()

    async with (
        embedded_server(tmp_path, planned) as server,
        opened(server.destination(b"/d"), server.ssh()) as store,
        create_task_group() as tasks,
    ):
        tasks.start_soon(stop_when_it_hangs)
        with fail_after(20):
            outcome = await run_pipeline(store, tmp_path / "source", base=b"/d", stop=stop)
    assert outcome.report.exit_code is ExitCode.INTERRUPTED
    assert not any(isinstance(found, Failed) for found in outcome.report.outcomes)
    files = DiskWorld(tmp_path / "root" / "d").files()
    check_world(files, outcome, contents, leftovers=len(outcome.report.leftovers))
