"""A file that is written to while it is read is read again; what does not come to rest is stored, named and flagged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from async_backup.archive import content
from async_backup.archive.content import COARSE_REST, REREADS, REST, STATUS_CHANGE
from async_backup.archive.index import CHANGED
from async_backup.archive.member import Problem, ProblemKind
from tests.archives import make_archive
from tests.test_pack import ENTRY, LARGE, SIZES, SMALL, contents
from tests.trees import SEGMENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.archives import Archive
    from tests.trees import File


def changing_under_reads(monkeypatch: pytest.MonkeyPatch, change: Callable[[int], None]) -> None:
    """After each reading of a part of a file, `change` is called with the number of readings so far."""
    readings = 0
    pread = os.pread

    def read_and_change(descriptor: int, length: int, offset: int) -> bytes:
        nonlocal readings
        data = pread(descriptor, length, offset)
        readings += 1
        change(readings)
        return data

    monkeypatch.setattr(os, "pread", read_and_change)


def alone(tmp_path: Path, content: bytes) -> Archive:
    """The archive of an entry that is one file."""
    (tmp_path / "entry").write_bytes(content)
    return make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")


def flags(archive: Archive) -> list[int]:
    return [member.flags for _, member in archive.members()]


@SIZES
def test_a_file_that_changes_under_the_first_reading_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: File
) -> None:
    """Its time is put back, so that a large file is still the one that was planned."""
    path, later = tmp_path / "entry", b"later" + file.content()[5:]

    def change(readings: int) -> None:
        if readings == 1:
            status = path.stat()
            path.write_bytes(later)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    changing_under_reads(monkeypatch, change)
    archive = alone(tmp_path, file.content())
    assert {problem.reason for problem in archive.problems} == ({STATUS_CHANGE} if file is LARGE else set())
    assert contents(archive) == {"entry": later}


@SIZES
def test_a_file_that_was_written_to_just_now_is_read_once_a_further_change_would_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: File
) -> None:
    path, waits, readings = tmp_path / "entry", list[float](), list[int]()

    def wait(seconds: float) -> None:
        assert not readings
        waits.append(seconds)

    changing_under_reads(monkeypatch, readings.append)
    monkeypatch.setattr("async_backup.archive.content.time.sleep", wait)
    path.write_bytes(file.content())
    now = path.stat().st_ctime_ns
    monkeypatch.setattr("async_backup.archive.content.time.time_ns", lambda: now + len(waits) * REST + 1_000_000)
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    assert waits == [(REST - 1_000_000) / 1e9]
    assert (archive.problems, set(flags(archive))) == ([], {0})


@SIZES
def test_a_file_that_is_written_to_all_the_time_is_named_though_its_times_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: File
) -> None:
    waits = list[float]()
    monkeypatch.setattr("async_backup.archive.content.time.sleep", waits.append)
    (tmp_path / "entry").write_bytes(file.content())
    now = (tmp_path / "entry").stat().st_ctime_ns
    monkeypatch.setattr("async_backup.archive.content.time.time_ns", lambda: now)
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    assert {problem.reason for problem in archive.problems} == {"it was written to while it was read"}
    assert contents(archive) == {"entry": file.content()}


@pytest.mark.parametrize(
    ("ctime", "age", "expected"),
    [
        (5_000_000_001, 0, REST),
        (5_000_000_001, REST, 0),
        (5_000_000_001, -1, 0),
        (5_000_000_000, REST, COARSE_REST - REST),
        (5_000_000_000, COARSE_REST, 0),
    ],
)
def test_times_in_whole_seconds_take_longer_to_tell_a_change(
    monkeypatch: pytest.MonkeyPatch, ctime: int, age: int, expected: int
) -> None:
    status = os.stat_result(range(10), {"st_ctime_ns": ctime})
    monkeypatch.setattr("async_backup.archive.content.time.time_ns", lambda: ctime + age)
    assert content._until_rest(status) == expected


@pytest.mark.parametrize(("step", "verb"), [(-100, "shrank"), (1, "grew")])
def test_a_small_file_whose_size_changes_under_every_reading_is_stored_as_it_came_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, verb: str
) -> None:
    changing_under_reads(monkeypatch, lambda readings: os.truncate(tmp_path / "entry", 3000 + readings * step))
    archive = alone(tmp_path, SMALL.content())
    before = 3000 + REREADS * step
    reason = f"it {verb} while it was read ({before} bytes, then {before + step})"
    assert archive.problems == [Problem(ENTRY, ProblemKind.CHANGED, reason)]
    assert flags(archive) == [CHANGED]
    assert contents(archive) == {"entry": SMALL.content().ljust(before, b"\0")[:before]}


@pytest.mark.parametrize("content", [SMALL.content(), LARGE.content()[: 2 * SEGMENT]], ids=["small", "large"])
def test_a_file_that_is_written_to_under_every_reading_is_named_and_flagged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    def change(readings: int) -> None:
        with (tmp_path / "entry").open("r+b") as file:
            file.write(b"%d" % readings)

    changing_under_reads(monkeypatch, change)
    archive = alone(tmp_path, content)
    reason = "it was written to while it was read"
    assert set(archive.problems) == {Problem(ENTRY, ProblemKind.CHANGED, reason)}
    assert flags(archive) == ([CHANGED] if len(content) < SEGMENT else [0, CHANGED, CHANGED])
    assert contents(archive)["entry"][2:] == content[2:]


def test_a_change_that_hides_behind_an_old_time_is_seen_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(readings: int) -> None:
        path = tmp_path / "entry"
        status = path.stat()
        path.write_bytes(bytes(10))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    changing_under_reads(monkeypatch, change)
    archive = alone(tmp_path, b"x" * 10)
    assert [problem.kind for problem in archive.problems] == [ProblemKind.CHANGED]


def test_only_the_piece_that_differs_from_the_plan_is_flagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(readings: int) -> None:
        if readings == 2:
            os.truncate(tmp_path / "entry", 4 * SEGMENT)

    changing_under_reads(monkeypatch, change)
    archive = alone(tmp_path, bytes(3 * SEGMENT))
    assert flags(archive) == [0, 0, CHANGED, CHANGED]
