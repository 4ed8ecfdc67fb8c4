"""Runs of the pipeline for tests: real archives, packed in this process, into any store."""

from __future__ import annotations

import hashlib
import os
import pickle
import tarfile
from dataclasses import dataclass, field, replace
from io import BytesIO
from mmap import mmap
from typing import TYPE_CHECKING

from anyio import Event
from anyio.lowlevel import checkpoint

from async_backup.archive.selection import Selection
from async_backup.checksum_files import checksum_line
from async_backup.config import Changed, Limits
from async_backup.errors import SourceError
from async_backup.pipeline import Pipeline
from async_backup.remote.naming import RunId, is_temporary
from async_backup.scan import Source, scan_all
from async_backup.slots import Slots, slot_size
from async_backup.transfer import Transfer
from async_backup.upload import Uploader
from async_backup.worker_process import PackingRules
from async_backup.worker_process import _Process as PackingProcess
from async_backup.workers import Plan, Workers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from async_backup.events import Event as Happening
    from async_backup.events import Listener
    from async_backup.model import Report
    from async_backup.remote.base import RemoteStore
    from async_backup.slots import Slot
    from async_backup.worker_process import PackedSlot, PlanPart

LATER = RunId.of_this_process()
RUN = replace(LATER, start=LATER.start - 1)
"""A run that is over, as `LATER` sees it: its process number was given out again."""

STAMP = "2024-05-01T000000"
SEGMENT = 64 << 10
LIMITS = Limits(workers=3, processes=2, connections=2, channels=2, queue=2, segment_size=SEGMENT, retries=2)


class InProcessPlan(Plan):
    """A plan in this process; it suspends where a real one does."""

    def __init__(self, key: int, process: PackingProcess, source: bytes) -> None:
        self._plan_key = key
        self._packing = process
        self.source = source

    async def begin(self, entry: bytes, slot: Slot | None, *, hard_links: bool) -> PlanPart:
        await checkpoint()
        try:
            index = slot.index if slot else None
            return self._packing.begin(self._plan_key, self.source, entry, index, hard_links=hard_links)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}") from error

    async def go_on(self) -> PlanPart:
        await checkpoint()
        return self._packing.go_on(self._plan_key)

    async def forget(self) -> None:
        await checkpoint()
        self._packing.forget(self._plan_key)


class InProcessWorkers(Workers):
    """Workers without processes: the same plans and the same bytes, with as few slots as the deadlock-minded like."""

    def __init__(self, slots: int = 2) -> None:
        rules = PackingRules(SEGMENT, 1, Selection(), "md5")
        self.slots = Slots(slots, slot_size(SEGMENT))
        self.is_aborted = False
        self._packing = PackingProcess(mmap(self.slots.descriptor, 0), self.slots.size, rules)
        self._plans_made = 0

    @property
    def free_slots(self) -> int:
        return len(self.slots._free)

    def new_plan(self, source: bytes) -> Plan:
        self._plans_made += 1
        return InProcessPlan(self._plans_made, self._packing, source)

    async def pack(self, source: bytes, job: bytes, slot: Slot) -> PackedSlot:
        await checkpoint()
        return self._packing.pack(source, pickle.loads(job), slot.index)

    def abort(self) -> None:
        self.is_aborted = True


@dataclass
class Outcome:
    """A report, and all events on the way to it."""

    report: Report
    events: list[Happening] = field(default_factory=list)

    def of(self, name: str) -> str:
        """What became of an entry."""
        (outcome,) = [found for found in self.report.outcomes if found.entry.name == os.fsencode(name)]
        return type(outcome).__name__

    def happened(self, kind: type[Happening]) -> list[Happening]:
        return [event for event in self.events if isinstance(event, kind)]


def new_transfer(
    store: RemoteStore,
    listener: Listener,
    *,
    destination: str = "nas:/backups",
    base: bytes = b"/backups",
    taken: frozenset[bytes] = frozenset(),
    checksum_file: bool = True,
    run: RunId = RUN,
) -> Transfer:
    return Transfer(
        store,
        listener,
        destination=destination,
        base=base,
        run=run,
        algorithm="md5",
        checksum_file=checksum_file,
        taken=taken,
    )


def new_uploader(workers: Workers, listener: Listener, changed: Changed = Changed.WARN) -> Uploader:
    return Uploader(workers, listener, algorithm="md5", changed=changed)


async def run_pipeline(
    store: RemoteStore,
    source: Path,
    *,
    workers: Workers | None = None,
    limits: Limits = LIMITS,
    stop: Event | None = None,
    base: bytes = b"/backups",
    taken: frozenset[bytes] = frozenset(),
    checksum_file: bool = True,
    changed: Changed = Changed.WARN,
    run: RunId = RUN,
) -> Outcome:
    """Back up the entries of `source` into the directory `base` of the store."""
    events: list[Happening] = []
    own = workers or InProcessWorkers()
    transfer = new_transfer(store, events.append, base=base, taken=taken, checksum_file=checksum_file, run=run)
    try:
        pipeline = Pipeline(new_uploader(own, events.append, changed), [transfer], limits, events.append)
        found = scan_all([Source(source, b"")], STAMP, Selection())
        report = await pipeline.run(found, stop or Event(), verifiers=2, on_stop=own.abort)
    finally:
        if workers is None:
            own.slots.close()
    return Outcome(report, events)


def make_source(base: Path) -> dict[str, dict[str, bytes]]:
    """A few entries below `base`: a file, a small tree, one of several segments, an odd name; what is in them."""
    contents = {
        "file": {"file": b"a single file"},
        "small": {"small/a": b"1" * 1000, "small/d/b": b"2" * 50},
        "large": {f"large/{i}": os.urandom(40_000) for i in range(8)} | {"large/big": os.urandom(200_000)},
        "odd\nna me'$(x)": {"odd\nna me'$(x)/c": b""},
    }
    for files in contents.values():
        for name, content in files.items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_bytes(content)
    return contents


def archive_name(entry: str) -> bytes:
    return f"{entry}-{STAMP}.tar.gz".encode()


def extracted(archive: bytes) -> dict[str, bytes]:
    """The regular files of an archive."""
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        members = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
        return {name: file.read() for name, file in members.items() if file is not None}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def check_world(
    files: Mapping[bytes, bytes], outcome: Outcome, contents: Mapping[str, Mapping[str, bytes]], *, leftovers: int = 0
) -> None:
    """The promises about what is there after a run, however it ended; `files` are names in the destination."""
    outcomes = outcome.report.outcomes
    assert sorted(found.entry.name for found in outcomes) == sorted(os.fsencode(name) for name in contents)
    temporary = {name for name in files if is_temporary(name)}
    assert len(temporary) <= leftovers
    assert all(LATER.is_left_over(name, age=0) for name in temporary)
    archives = {archive_name(name): name for name in contents}
    for name in files.keys() - temporary:
        if name.endswith(b".md5"):
            whole = name.removesuffix(b".md5")
            assert files[name] == checksum_line(md5(files[whole]), whole)
        else:
            assert extracted(files[name]) == contents[archives[name]]
    for committed in outcome.report.committed:
        name = committed.entry.archive
        assert committed.digest == committed.stored.value == md5(files[name])
        assert (name + b".md5" in files) or committed.problems.losses
