"""Files about a run: refused beforehand where impossible, written whole at the end, never at the backup's expense."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from async_backup.errors import ExitCode, Locked, SettingsError, Unreachable
from async_backup.ui.run_file import RunFile, write_whole
from tests.histories import committed, failed, run, tell

if TYPE_CHECKING:
    from pathlib import Path

    from async_backup.events import Event


class Codes(RunFile):
    """The exit code, and nothing else."""

    def collect(self, event: Event) -> None:
        pass

    def content(self) -> bytes:
        return b"%d" % self._record.exit_code


def quiet(line: str) -> None:
    raise AssertionError(line)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "about the run"


def test_nothing_is_written_before_the_end(path: Path) -> None:
    listener = Codes(path, warn=quiet)
    events = run(committed())
    tell(listener, events[:-1])
    assert not path.exists()
    tell(listener, events[-1:])
    assert path.read_bytes() == b"0"


def test_it_is_written_whatever_the_end_is(path: Path) -> None:
    tell(Codes(path, warn=quiet), run(failed()))
    assert path.read_bytes() == b"3"
    tell(Codes(path, warn=quiet), run(is_interrupted=True))
    assert path.read_bytes() == b"130"
    Codes(path, warn=quiet).failed(Unreachable("nas: no route"))
    assert path.read_bytes() == b"1"


def test_an_error_after_the_report_counts(path: Path) -> None:
    listener = Codes(path, warn=quiet)
    tell(listener, run(committed()))
    listener.failed(Unreachable("gone"))
    assert path.read_bytes() == b"%d" % ExitCode.NOTHING_DONE


def test_a_run_that_finds_another_one_leaves_the_file_to_that(path: Path) -> None:
    path.write_bytes(b"yesterday")
    Codes(path, warn=quiet).failed(Locked("since 03:00"))
    assert path.read_bytes() == b"yesterday"


def test_a_file_that_cannot_be_written_is_a_warning_and_leaves_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    warnings: list[str] = []
    listener = Codes(directory / "x\x1b[1m", warn=warnings.append)
    directory.rmdir()
    tell(listener, run(committed()))
    assert warnings == [f"warning: the file {directory}/x\\x1b[1m was not written: No such file or directory"]
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path.write_bytes(b"yesterday")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"today")
    assert path.read_bytes() == b"yesterday"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing/x", "there is no directory"),
        ("file/x", "there is no directory"),
        (".", "is a directory or a device"),
        ("pipe", "is a directory or a device"),
        ("loop", "cannot be written"),
        ("x\0y", "cannot be written"),
    ],
)
def test_an_impossible_place_is_told_beforehand(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop/x")
    with pytest.raises(SettingsError, match=re.escape(words)):
        Codes(tmp_path / name, warn=quiet)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written_to_is_told_beforehand(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SettingsError, match="is not writable"):
        Codes(tmp_path / "x", warn=quiet)


def test_others_may_read_it_as_any_new_file_and_a_mode_that_was_set_stays(path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_whole(path, b"1")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    write_whole(path, b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "target")
    tell(Codes(path, warn=quiet), run(committed()))
    assert path.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"0"
