"""What becomes of an entry with a file that changes whenever it is read: the user decides."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from async_backup.archive.content import REREADS
from async_backup.archive.index import CHANGED, FOOTER_SIZE, read_footer
from async_backup.archive.member import ProblemKind
from async_backup.config import Changed
from async_backup.errors import ExitCode, SourceChanged
from async_backup.events import AttemptFailed, FileProblem
from async_backup.model import Failed
from async_backup.remote.memory import MemoryStore
from async_backup.ui.lines import NORMAL, VERBOSE
from async_backup.ui.plain import PlainPrinter
from tests.archives import segments_of
from tests.runs import LIMITS, archive_name, extracted, run_pipeline
from tests.trees import SEGMENT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runs import Outcome

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("size", [5, 2 * SEGMENT], ids=["small", "large"])]

READINGS = 1 + REREADS


@pytest.fixture
def source(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source with an entry whose file is written to under every reading, and one that nobody touches."""
    path = tmp_path / "source"
    path.mkdir()
    for name in ("busy", "calm"):
        (path / name).write_bytes(bytes(size))
    busy, pread = (path / "busy").stat().st_ino, os.pread

    def read_and_change(descriptor: int, length: int, offset: int) -> bytes:
        data = pread(descriptor, length, offset)
        if os.fstat(descriptor).st_ino == busy:
            os.utime(path / "busy")
        return data

    monkeypatch.setattr(os, "pread", read_and_change)
    return path


def problems(outcome: Outcome) -> list[tuple[bytes, ProblemKind, bool]]:
    found = [event for event in outcome.events if isinstance(event, FileProblem)]
    return [(event.problem.path, event.problem.kind, event.is_loss) for event in found]


def lines(outcome: Outcome, verbosity: int) -> tuple[list[str], list[str]]:
    out: list[str] = []
    err: list[str] = []
    printer = PlainPrinter(out.append, err.append, verbosity)
    for event in outcome.events:
        printer(event)
    return [line for line in out if "changed" in line], [line for line in err if "changed" in line]


def flagged(store: MemoryStore) -> bool:
    archive = store.files[b"/backups/" + archive_name("busy")]
    return any(member.flags & CHANGED for segment in segments_of(archive) for member in segment.listing())


async def test_by_default_it_is_committed_named_and_counted_as_a_loss(source: Path) -> None:
    store = MemoryStore()
    outcome = await run_pipeline(store, source)
    assert problems(outcome) == [(b"busy", ProblemKind.CHANGED, True)]
    assert outcome.report.exit_code is ExitCode.INCOMPLETE
    assert len(lines(outcome, NORMAL)[1]) == 1
    assert flagged(store)
    for entry, is_incomplete in (("busy", True), ("calm", False)):
        archive = store.files[b"/backups/" + archive_name(entry)]
        assert read_footer(archive[-FOOTER_SIZE:]).is_incomplete == is_incomplete


async def test_ignored_it_is_named_only_when_asked_and_no_loss_but_still_flagged(source: Path, size: int) -> None:
    store = MemoryStore()
    outcome = await run_pipeline(store, source, changed=Changed.IGNORE)
    assert problems(outcome) == [(b"busy", ProblemKind.CHANGED, False)]
    assert outcome.report.exit_code is ExitCode.COMPLETE
    assert lines(outcome, NORMAL) == ([], [])
    assert len(lines(outcome, VERBOSE)[0]) == 1
    assert flagged(store)
    assert extracted(store.files[b"/backups/" + archive_name("busy")]) == {"busy": bytes(size)}


async def test_where_it_must_not_happen_the_entry_fails_after_its_retries_and_no_other_does(source: Path) -> None:
    store = MemoryStore()
    outcome = await run_pipeline(store, source, changed=Changed.FAIL)
    (failed,) = [each for each in outcome.report.outcomes if isinstance(each, Failed)]
    assert isinstance(failed.error, SourceChanged)
    assert str(failed.error).startswith("busy: it was written to while it was read; back up a snapshot")
    assert len(outcome.happened(AttemptFailed)) == LIMITS.retries
    assert outcome.report.exit_code is ExitCode.INCOMPLETE
    assert sorted(store.files) == [b"/backups/" + archive_name("calm"), b"/backups/" + archive_name("calm") + b".md5"]


async def test_once_it_is_at_rest_the_next_attempt_commits_it(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0
    busy_read, calm_read = os.pread, os.preadv

    def rest_after_the_first_attempt(descriptor: int, length: int, offset: int) -> bytes:
        nonlocal attempts
        attempts += 1
        if attempts <= READINGS:
            return busy_read(descriptor, length, offset)
        buffer = bytearray(length)
        return bytes(buffer[: calm_read(descriptor, [buffer], offset)])

    (source / "calm").unlink()
    monkeypatch.setattr(os, "pread", rest_after_the_first_attempt)
    outcome = await run_pipeline(MemoryStore(), source, changed=Changed.FAIL)
    assert len(outcome.happened(AttemptFailed)) == 1
    assert outcome.report.exit_code is ExitCode.COMPLETE
