"""Whether a tree is still what an archive was made of, told without reading it: no change goes unseen."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from async_backup.archive.index import pack_records
from async_backup.archive.unchanged import is_unchanged
from tests.archives import Archive, make_archive, plan, segments_of
from tests.everything import build_everything, set_xattr, write_with_holes
from tests.trees import SEGMENT, Directory, build, trees

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backup.archive.selection import Selection

LATER = time.time_ns() + 3600 * 10**9
"""A moment after all that happens here."""


def is_same(source: Path, archive: Archive, *, before_ns: int = LATER, selection: Selection | None = None) -> bool:
    jobs, _ = plan(source, b"entry", selection=selection)
    segments = segments_of(archive.data())
    return len(jobs) == len(segments) and all(
        is_unchanged(bytes(source), job, segment, before_ns) for job, segment in zip(jobs, segments, strict=True)
    )


@given(tree=trees())
def test_any_tree_is_what_it_is(tree: Directory) -> None:
    with TemporaryDirectory() as name:
        source = Path(name) / "source"
        source.mkdir()
        build(source, b"entry", tree)
        assert is_same(source, make_archive(source, b"entry", Path(name) / "archive"))


def test_a_tree_with_everything_is_what_it_is(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "entry").mkdir(parents=True)
    build_everything(source / "entry")
    assert is_same(source, make_archive(source, b"entry", tmp_path / "archive"))


def _tree(entry: Path) -> None:
    (entry / "sub").mkdir(parents=True)
    (entry / "empty").mkdir()
    (entry / "small").write_bytes(b"small")
    (entry / "sub/large").write_bytes(os.urandom(3 * SEGMENT))
    write_with_holes(entry / "sub/sparse", 5 * SEGMENT, (SEGMENT, b"data"))
    (entry / "sub/one").write_bytes(b"two names")
    os.link(entry / "sub/one", entry / "sub/two")
    (entry / "sub/pointer").symlink_to("large")


def _rewrite(path: Path, content: bytes) -> None:
    """New content of the same length in the same file, and the times that a program can set as they were."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _point(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _replace(path: Path) -> None:
    """Another file with the same content, mode and times."""
    content, before = path.read_bytes(), path.stat()
    path.rename(path.with_name("old"))
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.with_name("old").unlink()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a small file": lambda entry: _rewrite(entry / "small", b"SMALL"),
    "a large file": lambda entry: _rewrite(entry / "sub/large", b"new"),
    "the data of a sparse file": lambda entry: _rewrite(entry / "sub/sparse", b"\0"),
    "a file with two names": lambda entry: _rewrite(entry / "sub/two", b"TWO"),
    "a file that grew": lambda entry: (entry / "small").write_bytes(b"longer than it was"),
    "a time": lambda entry: os.utime(entry / "small", ns=(0, 0)),
    "a mode": lambda entry: (entry / "small").chmod(0o640),
    "a directory's mode": lambda entry: (entry / "empty").chmod(0o700),
    "an attribute": lambda entry: set_xattr(entry / "small", "user.new", b"1") or pytest.skip("no attributes here"),
    "another file in its place": lambda entry: _replace(entry / "small"),
    "another target": lambda entry: _point(entry / "sub/pointer", "small"),
    "a link for a file": lambda entry: _point(entry / "small", "sub/one"),
    "a new file": lambda entry: (entry / "empty/new").touch(),
    "a new last file": lambda entry: (entry / "sub/zzz").touch(),
    "a lost file": lambda entry: (entry / "small").unlink(),
    "a lost directory": lambda entry: (entry / "empty").rmdir(),
    "a new name": lambda entry: (entry / "small").rename(entry / "smaller"),
    "a further name": lambda entry: os.link(entry / "small", entry / "sub/zzz"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(tmp_path: Path, change: Callable[[Path], object]) -> None:
    _tree(tmp_path / "entry")
    archive = make_archive(tmp_path, b"entry", tmp_path / "archive")
    assert is_same(tmp_path, archive)
    time.sleep(0.02)  # more than a tick of the clock that files are stamped with
    change(tmp_path / "entry")
    assert not is_same(tmp_path, archive)


def test_what_changed_at_that_moment_or_later_counts_as_changed(tmp_path: Path) -> None:
    (tmp_path / "entry").touch()
    archive = make_archive(tmp_path, b"entry", tmp_path / "archive")
    changed = (tmp_path / "entry").stat().st_ctime_ns
    assert not is_same(tmp_path, archive, before_ns=changed)
    assert is_same(tmp_path, archive, before_ns=changed + 1)


def test_a_file_that_changed_while_it_was_read_counts_as_changed(tmp_path: Path) -> None:
    (tmp_path / "entry").write_bytes(bytes(3 * SEGMENT))
    archive = make_archive(tmp_path, b"entry", tmp_path / "a", meanwhile=lambda: _rewrite(tmp_path / "entry", b"1"))
    assert not is_same(tmp_path, archive)


def _vanish(entry: Path) -> None:
    (entry / "small").unlink()


def _become_a_socket(entry: Path) -> None:
    (entry / "small").unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(entry / "small"))


def _lose_a_directory(entry: Path) -> None:
    (entry / "sub").rename(entry.parent / "elsewhere")


def _swap_a_directory(entry: Path) -> None:
    (entry / "sub").rename(entry.parent / "elsewhere")
    (entry.parent / "elsewhere").rename(entry / "sub2")
    (entry / "sub").mkdir()


@pytest.mark.parametrize("change", [_vanish, _become_a_socket, _lose_a_directory, _swap_a_directory])
def test_what_changes_behind_the_plan_has_changed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    _tree(tmp_path / "entry")
    segments = segments_of(make_archive(tmp_path, b"entry", tmp_path / "archive").data())
    jobs, _ = plan(tmp_path, b"entry")
    pairs = list(zip(jobs, segments, strict=True))
    assert all(is_unchanged(bytes(tmp_path), job, segment, LATER) for job, segment in pairs)
    change(tmp_path / "entry")
    assert not all(is_unchanged(bytes(tmp_path), job, segment, LATER) for job, segment in pairs)


def test_a_segment_that_tells_of_more_or_less_or_cannot_be_read_is_another_one(tmp_path: Path) -> None:
    _tree(tmp_path / "entry")
    segment = segments_of(make_archive(tmp_path, b"entry", tmp_path / "archive").data())[0]
    job = plan(tmp_path, b"entry")[0][0]
    records = [record for record, _, _ in segment.packed_listing()]
    assert len(records) > 2

    def is_same(packed: bytes) -> bool:
        return is_unchanged(bytes(tmp_path), job, segment._replace(records=packed), LATER)

    assert is_same(pack_records(records))
    assert not is_same(pack_records(records[:-1]))
    assert not is_same(pack_records([*records, records[-1]]))
    assert not is_same(pack_records([]))
    assert not is_same(segment.records[:-1])
    assert not is_same(b"no records")
