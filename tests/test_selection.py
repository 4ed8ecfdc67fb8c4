"""What is left out: gitignore's patterns on any bytes, directories tagged as caches, other file systems."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from async_backup.archive.selection import Selection, is_cache
from tests.archives import make_archive
from tests.trees import Directory, File, Special, Symlink, build, names, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.trees import Node

ENTRY = b"entry"
TAG = b"Signature: 8a477f597d28d172789f06886806bc55"


def archived(tmp_path: Path, tree: Directory, selection: Selection) -> set[bytes]:
    """The paths below the entry that are in its archive."""
    build(tmp_path, ENTRY, tree)
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", selection=selection)
    return {member.path.partition(b"/")[2] for _, member in archive.members()} - {b""}


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (("*.log",), {b"build", b"build/out", b"src", b"src/build", b"src/keep"}),
        (("/build",), {b"a.log", b"src", b"src/build", b"src/keep", b"src/b.log"}),
        (("build",), {b"a.log", b"src", b"src/keep", b"src/b.log"}),
        (("src/**",), {b"a.log", b"build", b"build/out", b"src"}),
        (("src/**", "!src/keep"), {b"a.log", b"build", b"build/out", b"src", b"src/keep"}),
        (("src/**/",), {b"a.log", b"build", b"build/out", b"src", b"src/build", b"src/keep", b"src/b.log"}),
        (("build/",), {b"a.log", b"src", b"src/build", b"src/keep", b"src/b.log"}),
        (("src/*", "!src/keep"), {b"a.log", b"build", b"build/out", b"src", b"src/keep"}),
        (("*.log", "!b.log"), {b"build", b"build/out", b"src", b"src/build", b"src/keep", b"src/b.log"}),
        (("**/keep", "# comment", ""), {b"a.log", b"build", b"build/out", b"src", b"src/build", b"src/b.log"}),
    ],
)
def test_patterns_mean_what_they_mean_to_git(tmp_path: Path, patterns: tuple[str, ...], left: set[bytes]) -> None:
    source = Directory({b"keep": File(), b"build": File(), b"b.log": File()})
    tree = Directory({b"a.log": File(), b"build": Directory({b"out": File()}), b"src": source})
    assert archived(tmp_path, tree, Selection(patterns)) == left


def test_what_is_below_an_excluded_directory_cannot_be_asked_back(tmp_path: Path) -> None:
    tree = Directory({b"build": Directory({b"keep": File()})})
    assert archived(tmp_path, tree, Selection(("build/", "!build/keep"))) == set()


@given(name=names())
def test_without_patterns_nothing_is_excluded(name: bytes) -> None:
    assert not Selection().excludes(name, is_directory=False)


@given(name=names())
def test_a_pattern_matches_whole_names_whatever_their_bytes(name: bytes) -> None:
    selection = Selection(("*.bak",))
    assert selection.excludes(b"dir\n\xff/" + name + b".bak", is_directory=False)
    assert not selection.excludes(name + b".bak\n", is_directory=False)


def test_a_pattern_can_name_bytes_that_are_not_text(tmp_path: Path) -> None:
    tree = Directory({b"\xff\xfe": File(), b"\xff\xfd": File()})
    assert archived(tmp_path, tree, Selection((os.fsdecode(b"\xff\xfe"),))) == {b"\xff\xfd"}


def test_a_pattern_does_not_match_the_entrys_own_name(tmp_path: Path) -> None:
    assert archived(tmp_path, Directory({b"entry": File(), b"x": File()}), Selection(("entry",))) == {b"x"}


@pytest.mark.parametrize(("exclude", "left"), [(True, {b"c", b"c/CACHEDIR.TAG"}), (False, None)])
def test_of_a_cache_only_the_directory_and_its_tag_are_kept(
    tmp_path: Path, exclude: bool, left: set[bytes] | None
) -> None:
    tree = Directory({b"c": Directory({b"CACHEDIR.TAG": File(), b"junk": File(), b"sub": Directory()})})
    build(tmp_path, ENTRY, tree)
    (tmp_path / "entry/c/CACHEDIR.TAG").write_bytes(TAG + b"\n# more")
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a", selection=Selection(exclude_caches=exclude))
    everything = {b"c", b"c/CACHEDIR.TAG", b"c/junk", b"c/sub"}
    assert {m.path.partition(b"/")[2] for _, m in archive.members()} - {b""} == (left or everything)


@pytest.mark.parametrize("tag", [File(100), Symlink(b"tag"), Special(0o010000), Directory()])
def test_a_directory_is_a_cache_only_by_a_regular_file_with_the_signature(tmp_path: Path, tag: Node) -> None:
    build(tmp_path, ENTRY, Directory({b"CACHEDIR.TAG": tag}))
    (tmp_path / "entry/tag").write_bytes(TAG)
    with opened(tmp_path / "entry") as directory:
        assert not is_cache(directory)


@contextmanager
def mounted(directory: Path) -> Iterator[None]:
    if subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize(("one", "left"), [(True, {b"mnt", b"x"}), (False, {b"mnt", b"mnt/foreign", b"x"})])
def test_of_another_file_system_only_the_mount_point_is_kept(tmp_path: Path, one: bool, left: set[bytes]) -> None:
    build(tmp_path, ENTRY, Directory({b"mnt": Directory(), b"x": File()}))
    with mounted(tmp_path / "entry/mnt"):
        (tmp_path / "entry/mnt/foreign").touch()
        archive = make_archive(tmp_path, ENTRY, tmp_path / "a", selection=Selection(one_file_system=one))
        assert {m.path.partition(b"/")[2] for _, m in archive.members()} - {b""} == left
