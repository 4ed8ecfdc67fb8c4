"""Several destinations: packed once, sent to each; each has its own outcome, and one that fails harms no other."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from anyio import Event, create_task_group, fail_after, sleep_forever

from async_backup.archive.selection import Selection
from async_backup.config import Destination, Settings
from async_backup.errors import ConnectionDropped, ExitCode, RemoteFull, SettingsError, Unreachable
from async_backup.events import AttemptFailed, DestinationLost, EntryEnded, SegmentPacked, SegmentSent
from async_backup.model import Committed, Failed, Interrupted
from async_backup.pipeline import Pipeline
from async_backup.remote.memory import MemoryStore
from async_backup.remote.naming import is_temporary
from async_backup.scan import Source, scan_all
from tests.command import PROGRAM, finished, login
from tests.runs import LIMITS, STAMP, InProcessWorkers, archive_name, extracted, make_source, new_transfer, new_uploader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from async_backup.config import Limits
    from async_backup.errors import BackupError
    from async_backup.model import Report
    from async_backup.remote.base import StoredDigest
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

A, B = "nas:/a", "site:/b"


class Run:
    """A run into stores in memory, by the names of their destinations."""

    def __init__(
        self,
        source: Path,
        stores: Mapping[str, MemoryStore],
        lost: Mapping[str, BackupError] | None = None,
        limits: Limits = LIMITS,
    ):
        self.contents = make_source(source)
        self.source = source
        self.stores = stores
        self.events: list[object] = []
        self.lost = lost or {}
        self.limits = limits

    async def report(self, stop: Event | None = None) -> Report:
        workers = InProcessWorkers()
        transfers = [new_transfer(store, self.events.append, destination=name) for name, store in self.stores.items()]
        try:
            pipeline = Pipeline(
                new_uploader(workers, self.events.append), transfers, self.limits, self.events.append, lost=self.lost
            )
            found = scan_all([Source(self.source, b"")], STAMP, Selection())
            report = await pipeline.run(found, stop or Event(), verifiers=2, on_stop=workers.abort)
            assert workers.free_slots == workers.slots.count
            return report
        finally:
            workers.slots.close()

    def happened(self, kind: type) -> list[object]:
        return [event for event in self.events if isinstance(event, kind)]

    def check_whole(self, name: str) -> None:
        """All archives stand there, each with its checksum, and nothing else."""
        files = {os.path.basename(path): content for path, content in self.stores[name].files.items()}
        archives = {archive_name(entry) for entry in self.contents}
        assert set(files) == archives | {archive + b".md5" for archive in archives}
        for entry, content in self.contents.items():
            assert extracted(files[archive_name(entry)]) == content


def at(report: Report, name: str) -> list[type]:
    return [type(outcome) for outcome in report.outcomes if outcome.destination == name]


async def test_each_destination_gets_every_archive_and_it_is_packed_once(tmp_path: Path) -> None:
    run = Run(tmp_path, {A: MemoryStore(), B: MemoryStore()})
    report = await run.report()
    assert report.exit_code is ExitCode.COMPLETE
    assert at(report, A) == at(report, B) == [Committed] * len(run.contents)
    packed = sum(event.packed for event in run.happened(SegmentPacked))  # type: ignore[attr-defined]
    size = sum(outcome.size for outcome in report.committed)
    assert packed * 2 <= size == sum(event.size for event in run.happened(SegmentSent))  # type: ignore[attr-defined]
    run.check_whole(A)
    run.check_whole(B)


async def test_an_archive_is_the_same_bytes_everywhere(tmp_path: Path) -> None:
    run = Run(tmp_path, {A: MemoryStore(), B: MemoryStore()})
    await run.report()
    assert run.stores[A].files == run.stores[B].files


@pytest.mark.parametrize("request_name", ["create", "write", "finish", "digest", "rename"])
async def test_one_that_fails_leaves_the_others_alone(tmp_path: Path, request_name: str) -> None:
    full = MemoryStore(faults={request_name: [RemoteFull("full")] * 100})
    run = Run(tmp_path, {A: MemoryStore(), B: full})
    report = await run.report()
    assert at(report, A) == [Committed] * len(run.contents)
    assert at(report, B) == [Failed] * len(run.contents)
    assert report.exit_code is ExitCode.INCOMPLETE
    run.check_whole(A)
    assert full.files == {}


@pytest.mark.parametrize("request_name", ["create", "write", "finish", "digest", "rename"])
async def test_only_the_destination_that_failed_is_tried_again(tmp_path: Path, request_name: str) -> None:
    shaky = MemoryStore(faults={request_name: [ConnectionDropped("gone")]})
    run = Run(tmp_path, {A: MemoryStore(), B: shaky})
    report = await run.report()
    assert report.exit_code is ExitCode.COMPLETE
    assert [event.destination for event in run.happened(AttemptFailed)] == [B]  # type: ignore[attr-defined]
    assert max(outcome.attempts for outcome in report.committed if outcome.destination == A) == 1
    run.check_whole(A)
    run.check_whole(B)


async def test_one_that_cannot_be_reached_any_more_is_left_alone_for_a_while(tmp_path: Path) -> None:
    gone = MemoryStore(faults={"create": [Unreachable("gone")] * 100})
    limits = replace(LIMITS, workers=1, connections=1, channels=1)
    run = Run(tmp_path, {A: MemoryStore(), B: gone}, limits=limits)
    for number in range(30):
        (tmp_path / f"more-{number}").write_bytes(b"more")
        run.contents[f"more-{number}"] = {f"more-{number}": b"more"}
    report = await run.report()
    assert at(report, B) == [Failed] * len(run.contents)
    assert run.happened(DestinationLost)
    assert gone.requests.count("create") <= limits.workers + limits.small_archives < len(run.contents)
    run.check_whole(A)


async def test_one_that_was_never_reached_has_an_outcome_for_every_entry(tmp_path: Path) -> None:
    run = Run(tmp_path, {A: MemoryStore()}, lost={B: Unreachable("no such host")})
    report = await run.report()
    assert at(report, B) == [Failed] * len(run.contents)
    assert len(run.happened(EntryEnded)) == 2 * len(run.contents)
    assert report.destinations == (A, B)
    run.check_whole(A)


class Silent(MemoryStore):
    """Never tells a digest; says so once somebody waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waiting = Event()

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        self.is_waiting.set()
        await sleep_forever()
        raise AssertionError


async def test_a_run_that_is_stopped_leaves_no_temporary_file_anywhere(tmp_path: Path) -> None:
    silent, stop = Silent(), Event()
    run = Run(tmp_path, {A: MemoryStore(), B: silent})
    reports: list[Report] = []

    async def go() -> None:
        reports.append(await run.report(stop))

    with fail_after(10):
        async with create_task_group() as tasks:
            tasks.start_soon(go)
            await silent.is_waiting.wait()
            stop.set()
    (report,) = reports
    assert set(at(report, B)) == {Interrupted}
    assert len(report.outcomes) == 2 * len(run.contents)
    left = [path for store in run.stores.values() for path in store.files]
    assert [path for path in left if is_temporary(os.path.basename(path))] == []


def test_the_same_destination_twice_is_refused(tmp_path: Path) -> None:
    twice = (Destination.parse("nas:/b"), Destination.parse("nas:/b/"))
    with pytest.raises(SettingsError, match="given twice"):
        Settings((tmp_path,), twice)


def test_the_command_goes_on_with_the_server_that_is_there(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "source" / "entry").mkdir(parents=True)
    target = tmp_path / "target"
    dead = f"sftp://127.0.0.1:1{tmp_path}/dead"
    to = ["--to", sshd.destination(target), "--to", dead]
    done = finished([*PROGRAM, "run", str(tmp_path / "source"), *to, *login(sshd)], tmp_path)
    assert done.returncode == ExitCode.INCOMPLETE
    assert "NOTHING IS STORED at sftp://127.0.0.1:1/" in done.stderr
    assert "0 of 1 entry committed" in done.stderr
    assert len(list(target.glob("entry-*.tar.gz"))) == 1
