"""A file that is written to while it is read is read again; what does not come to rest is stored, named and flagged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from async_backup.archive.content import REREADS
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
    assert (archive.problems, set(flags(archive))) == ([], {0})
    assert contents(archive) == {"entry": later}


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
