"""Going down a tree never leads out of it, knows no longest path, and holds few descriptors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.archive.descent import Descent, open_file
from tests.trees import Directory, File, Special, Symlink, build, build_deep, opened

OPEN = Path("/proc/self/fd")
LIMIT = 70
"""Descriptors that a descent may hold at any depth: the 64 it keeps, the root, and what a call needs."""


def path_of(descriptor: int) -> Path:
    return (OPEN / str(descriptor)).readlink()


def held_by(operation: int) -> int:
    return len(list(OPEN.iterdir())) - operation


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("descent")
    build(top, b"a", Directory({b"b": Directory({b"c": Directory(), b"d": Directory()}), b"e": Directory()}))
    return top


@given(path=st.lists(st.sampled_from(["", "a", "a/b", "a/b/c", "a/b/d", "a/e"]), max_size=12))
def test_each_call_leads_to_the_directory_that_was_asked_for(tree: Path, path: list[str]) -> None:
    with Descent(bytes(tree)) as descent:
        assert [path_of(descent.enter(step.encode())) for step in path] == [tree / step for step in path]


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    build(tmp_path, b"outside", Directory({b"inside": Directory()}))
    build(tmp_path, b"source", Directory({b"link": Symlink(b"../outside")}))
    with Descent(bytes(tmp_path / "source")) as descent:
        for path in (b"link", b"link/inside"):
            with pytest.raises(NotADirectoryError):
                descent.enter(path)
        assert path_of(descent.enter(b"")) == tmp_path / "source"


@pytest.mark.parametrize("path", [b"missing", b"a/missing", b"a/b/c/missing/x"])
def test_after_a_failure_the_way_goes_on(tree: Path, path: bytes) -> None:
    with Descent(bytes(tree)) as descent:
        with pytest.raises(FileNotFoundError):
            descent.enter(path)
        assert path_of(descent.enter(b"a/b/d")) == tree / "a/b/d"


@settings(max_examples=10)
@given(depths=st.lists(st.integers(0, 150), min_size=2, max_size=6))
def test_far_below_path_max_every_level_is_reached_with_few_descriptors(deep: Path, depths: list[int]) -> None:
    before = held_by(0)
    with Descent(bytes(deep)) as descent:
        for depth in depths:
            inside = descent.enter(b"/".join([b"top", *[b"d" * 100] * depth]))
            assert os.listdir(inside) == ["d" * 100 if depth < 150 else "leaf"]
            assert held_by(before) < LIMIT
    assert held_by(before) == 0


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("deep")
    build_deep(top, b"top", [b"d" * 100] * 150, Directory({b"leaf": File()}))
    return top


def test_a_file_is_opened_without_touching_its_access_time(tmp_path: Path) -> None:
    build(tmp_path, b"file", File(10))
    os.utime(tmp_path / "file", ns=(1, 2_000_000_000))
    with opened(tmp_path) as directory:
        descriptor = open_file(b"file", directory)
        assert len(os.read(descriptor, 100)) == 10
        os.close(descriptor)
    assert (tmp_path / "file").stat().st_atime_ns == 1


def test_a_fifo_in_a_files_place_does_not_block(tmp_path: Path) -> None:
    build(tmp_path, b"fifo", Special(0o010000))
    with opened(tmp_path) as directory:
        descriptor = open_file(b"fifo", directory)
        assert os.read(descriptor, 1) == b""
        os.close(descriptor)


def test_a_symbolic_link_in_a_files_place_is_refused(tmp_path: Path) -> None:
    build(tmp_path, b"link", Symlink(b"/etc/passwd"))
    with opened(tmp_path) as directory, pytest.raises(OSError, match="symbolic links"):
        open_file(b"link", directory)
