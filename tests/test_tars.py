"""Our archives, judged by the programs that people restore with: what comes out is what went in.

Where a judge cannot do something, a function here says exactly what it does instead, and a test shows that it does
the same to the archives of others. Apart from that, trees must be equal in every respect that `Seen` lists.
"""

from __future__ import annotations

import math
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from async_backup.archive.member import ProblemKind
from tests.archives import make_archive
from tests.trees import (
    IS_ROOT,
    LINK_MAX,
    SECOND,
    SEGMENT,
    Attributes,
    Directory,
    File,
    Link,
    Seen,
    Snapshot,
    Special,
    Symlink,
    build,
    build_deep,
    snapshot,
    trees,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.trees import Node

ENTRY = b"entry"
UTF8 = {**os.environ, "LC_ALL": "C.UTF-8"}

OWNER = ("--same-owner",) if IS_ROOT else ("--no-same-owner",)
GNU_TAR = ("tar", "-xp", "--numeric-owner", *OWNER, "--warning=no-timestamp", "-f")
"""GNU tar says of times before 1970 and after today that they are implausible, and sets them all the same."""
BSDTAR = ("bsdtar", "-xp", "--numeric-owner", *OWNER, "-f")

HOSTILE: dict[bytes, Node] = {
    b"plain": File(1),
    b"caf\xc3\xa9": File(2),
    b"\xff\xfe": File(3),
    b"n" * 255: File(4),
    b"\xff" * 255: File(5),
    "é".encode() * 127: File(6),
    b"new\nline": File(7),
    b" -rf \\ $(id)": File(8),
    b"\x1b[31mred\x07": File(9),
    b"\xff" * 90: Directory({b"\xfe" * 60: File(10), b"\xfd" * 101: File(11)}),
    b"d" * 99: Directory({b"f" * 93: File(12), b"f" * 120: File(13), b"long": Symlink(b"\xff" * 101)}),
    b"links": Directory({b"utf8": Symlink("é".encode() * 200), b"raw": Symlink(b"\xff" * 4094), b"\xfc": Link(4)}),
}
"""Names and links that fit ustar's fields, that do not, in ASCII, in UTF-8, and in neither."""


def judge(program: str) -> str:
    """The path of `program`; without it the test is skipped, or fails where CI promises to have it."""
    found = shutil.which(program)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{program} is not installed, and CI must not skip a judge")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def run(command: tuple[str, ...], archive: Path, directory: Path) -> None:
    """Run a judge on `archive` in `directory`: it must succeed and have nothing to say."""
    judge(command[0])
    done = subprocess.run([*command, str(archive)], check=False, cwd=directory, env=UTF8, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr.decode(errors="replace")) == (0, b"", "")


def gnu_tar(archive: Path, directory: Path) -> None:
    run(GNU_TAR, archive, directory)


def bsdtar(archive: Path, directory: Path) -> None:
    run(BSDTAR, archive, directory)


def python(archive: Path, directory: Path) -> None:
    with tarfile.open(archive, encoding="utf-8", errors="surrogateescape") as tar, chdir(directory):
        tar.extraction_filter = trusting  # Debian's 3.11.2 does not know the argument `filter="fully_trusted"` yet
        tar.extractall(numeric_owner=True)


def trusting(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    return member


def exactly(path: bytes, seen: Seen) -> Seen:
    return seen


def as_bsdtar_reads(path: bytes, seen: Seen) -> Seen:
    """bsdtar 3.6.2 loses the sign of the fraction: it takes -5.25 for 5 seconds before 1970, plus 0.25."""
    sign = -1 if seen.mtime_ns < 0 else 1
    seconds, fraction = divmod(abs(seen.mtime_ns), SECOND)
    return seen._replace(mtime_ns=sign * seconds * SECOND + fraction)


def as_python_reads(path: bytes, seen: Seen) -> Seen:
    """`tarfile` of Python 3.11 keeps a time in a float, and does not set a symbolic link's."""
    return seen._replace(mtime_ns=0 if seen.kind == stat.S_IFLNK else _through_a_float(seen.mtime_ns))


def _through_a_float(time_ns: int) -> int:
    fraction, whole = math.modf(time_ns / SECOND)
    return int(whole) * SECOND + math.floor(fraction * SECOND)


def extracted(archive: Path, extract: Callable[[Path, Path], None]) -> Snapshot:
    """What a judge makes of an archive."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as directory:
        extract(archive, Path(directory))
        return snapshot(Path(directory), ENTRY)


def reading(seen: Snapshot, view: Callable[[bytes, Seen], Seen]) -> Snapshot:
    return {path: view(path, each) for path, each in seen.items()}


JUDGES = pytest.mark.parametrize(
    ("extract", "view"),
    [
        pytest.param(gnu_tar, exactly, id="gnu-tar"),
        pytest.param(bsdtar, as_bsdtar_reads, id="bsdtar"),
        pytest.param(python, as_python_reads, id="tarfile"),
    ],
)


@JUDGES
@settings(max_examples=60)
@given(tree=trees())
def test_any_tree_comes_back_as_it_was(
    extract: Callable[[Path, Path], None], view: Callable[[bytes, Seen], Seen], tree: Directory
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        source.mkdir()
        build(source, ENTRY, tree)
        archive = make_archive(source, ENTRY, Path(scratch, "a.tar.gz"))
        assert archive.problems == []
        came_back = extracted(archive.path, extract)
        if extract is python:  # what it does not set, it leaves at the time of the restore
            came_back = {p: s._replace(mtime_ns=0) if s.kind == stat.S_IFLNK else s for p, s in came_back.items()}
        assert came_back == reading(snapshot(source, ENTRY), view)


@settings(max_examples=60)
@given(tree=trees())
def test_gnu_tar_finds_no_difference_to_the_source_and_gzip_no_fault(tree: Directory) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        source.mkdir()
        build(source, ENTRY, tree)
        archive = make_archive(source, ENTRY, Path(scratch, "a.tar.gz"))
        run(("gzip", "-t"), archive.path, source)
        run(("tar", "--diff", "-f"), archive.path, source)


@JUDGES
@pytest.mark.parametrize("kind", ["file", "symlink", "fifo", "empty directory"])
def test_an_entry_need_not_be_a_full_directory(
    tmp_path: Path, kind: str, extract: Callable[[Path, Path], None], view: Callable[[bytes, Seen], Seen]
) -> None:
    nodes: dict[str, Node] = {"file": File(5), "symlink": Symlink(b"/nowhere"), "fifo": Special(stat.S_IFIFO)}
    build(tmp_path, ENTRY, nodes.get(kind, Directory()))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    came_back = extracted(archive.path, extract)
    assert {path: seen._replace(mtime_ns=0) for path, seen in came_back.items()} == {
        path: seen._replace(mtime_ns=0) for path, seen in snapshot(tmp_path, ENTRY).items()
    }


@JUDGES
def test_hostile_names_come_back_without_a_word(
    tmp_path: Path, extract: Callable[[Path, Path], None], view: Callable[[bytes, Seen], Seen]
) -> None:
    build(tmp_path, ENTRY, Directory(HOSTILE))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    assert _contents(extracted(archive.path, extract)) == _contents(snapshot(tmp_path, ENTRY))


def busybox(archive: Path, directory: Path) -> None:
    run(("busybox", "tar", "-xpzf"), archive, directory)


def seven_zip(archive: Path, directory: Path) -> None:
    """7-Zip takes the two layers one after another; `-snld` allows links that lead out of the directory."""
    program = judge("7z")
    plain = directory / "plain.tar"
    plain.write_bytes(subprocess.run([program, "x", "-so", str(archive)], check=True, capture_output=True).stdout)
    subprocess.run([program, "x", "-snld", "-y", str(plain)], check=True, cwd=directory, env=UTF8, capture_output=True)


@pytest.mark.parametrize("extract", [busybox, seven_zip])
def test_hostile_names_come_back_from_the_small_and_the_foreign_ones(
    tmp_path: Path, extract: Callable[[Path, Path], None]
) -> None:
    build(tmp_path, ENTRY, Directory(HOSTILE))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    assert _contents(extracted(archive.path, extract)) == _contents(snapshot(tmp_path, ENTRY))


@pytest.mark.parametrize("extract", [gnu_tar, bsdtar, python, busybox])
def test_a_link_to_the_most_bytes_that_are_not_text_comes_back(
    tmp_path: Path, extract: Callable[[Path, Path], None]
) -> None:
    """Here alone GNU tar has a word to say: it does not know hdrcharset. busybox dies of GNU tar's own form."""
    build(tmp_path, ENTRY, Directory({b"raw": Symlink(b"\xff" * LINK_MAX), b"after": File(1)}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    if extract is gnu_tar:
        with pytest.raises(AssertionError, match="Ignoring unknown extended header keyword 'hdrcharset'"):
            extracted(archive.path, extract)
        extract = partial(run, (*GNU_TAR[:-1], "--warning=no-unknown-keyword", "-f"))
    assert _contents(extracted(archive.path, extract)) == _contents(snapshot(tmp_path, ENTRY))


def _contents(seen: Snapshot) -> dict[bytes, tuple[int, bytes, bytes]]:
    return {path: (each.kind, each.content, each.link) for path, each in seen.items()}


def test_that_bsdtar_loses_the_sign_of_a_fraction_is_not_our_doing(tmp_path: Path) -> None:
    build(tmp_path, ENTRY, File(0, 0, Attributes(mtime_ns=-5 * SECOND - SECOND // 4)))
    theirs = tmp_path / "theirs.tar"
    subprocess.run(["tar", "--format=pax", "-cf", theirs, "-C", tmp_path, ENTRY], check=True)
    assert extracted(theirs, bsdtar)[ENTRY].mtime_ns == -5 * SECOND + SECOND // 4


@JUDGES
def test_a_path_of_four_thousand_bytes_comes_back(
    tmp_path: Path, extract: Callable[[Path, Path], None], view: Callable[[bytes, Seen], Seen]
) -> None:
    build_deep(tmp_path, ENTRY, [b"d" * 255] * 15, Directory({b"f" * 120: File(100)}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    deepest = max(snapshot(tmp_path, ENTRY), key=len)
    assert len(deepest) > 3950
    assert _contents(extracted(archive.path, extract)) == _contents(snapshot(tmp_path, ENTRY))


@pytest.mark.parametrize("program", [GNU_TAR, BSDTAR])
def test_a_path_beyond_path_max_comes_back_below_fewer_directories(tmp_path: Path, program: tuple[str, ...]) -> None:
    """No tar makes such a path in one go (GNU tar: "File name too long"), but each finds what lies there."""
    content = File(SEGMENT * 2)
    build_deep(tmp_path, ENTRY, [b"d" * 200] * 30, Directory({b"leaf": content}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    directory = tmp_path / "out"
    directory.mkdir()
    run((program[0], "--strip-components=31", *program[1:]), archive.path, directory)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == {"leaf": content.content()}


def test_a_tree_that_is_too_deep_for_the_index_loses_only_what_is_too_deep(tmp_path: Path) -> None:
    build_deep(tmp_path, ENTRY, [b"d" * 200] * 50, File(1))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    assert [problem.kind for problem in archive.problems] == [ProblemKind.UNREADABLE]
    assert archive.problems[0].reason == f"longer than {SEGMENT // 8} bytes"
    run(("gzip", "-t"), archive.path, tmp_path)
