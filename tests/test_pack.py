"""Whatever the files do between plan and packing, the archive stays whole, the change is named, nothing leaks in."""

from __future__ import annotations

import gzip
import io
import os
import socket
import subprocess
import tarfile
import threading
import time
from contextlib import chdir
from shutil import rmtree
from typing import TYPE_CHECKING

import pytest

from async_backup.archive.content import REST, STATUS_CHANGE
from async_backup.archive.member import Meta, Problem, ProblemKind
from async_backup.archive.pack import GROWTH
from tests.archives import make_archive
from tests.trees import SEGMENT, Directory, File, Link, Symlink, build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.archives import Archive

ENTRY = b"entry"
SECRET = b"what belongs to somebody else"
SMALL, LARGE = File(3000, 1), File(3 * SEGMENT + 100, 2)
REPLACED = "another file took its place while it was read"
SIZES = pytest.mark.parametrize("file", [SMALL, LARGE], ids=["small", "large"])


def packed_after(tmp_path: Path, file: File, change: Callable[[Path], None], **links: Link) -> Archive:
    """An entry with `victim` between two other files, packed after `change` was done to that."""
    more = {os.fsencode(name): link for name, link in links.items()}
    build(tmp_path, ENTRY, Directory({b"victim": file, b"before": File(10), **more, b"zz": File(20)}))
    (tmp_path / "secret").write_bytes(SECRET)
    victim = tmp_path / "entry/victim"
    return make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", meanwhile=lambda: change(victim))


def contents(archive: Archive) -> dict[str, bytes]:
    """What a tar reads from the archive, to its very end."""
    raw = gzip.decompress(archive.data())
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        found = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isreg()}
        last = tar.getmembers()[-1]
        assert raw[last.offset_data + last.size + -last.size % 512 :] == bytes(1024)
        return {name.removeprefix("entry/"): file.read() for name, file in found.items() if file is not None}


def others(found: dict[str, bytes]) -> dict[str, int]:
    return {name: len(content) for name, content in found.items() if name != "victim"}


@SIZES
def test_a_file_that_nobody_touches_is_stored_as_it_is(tmp_path: Path, file: File) -> None:
    archive = packed_after(tmp_path, file, lambda _: None)
    assert (archive.problems, contents(archive)["victim"]) == ([], file.content())


def remove(victim: Path) -> None:
    victim.unlink()


def put_a_symlink(victim: Path) -> None:
    victim.unlink()
    victim.symlink_to("../secret")


def put_a_fifo(victim: Path) -> None:
    victim.unlink()
    os.mkfifo(victim)


def put_a_socket(victim: Path) -> None:
    victim.unlink()
    with socket.socket(socket.AF_UNIX) as server, chdir(victim.parent):
        server.bind(victim.name)


def put_a_directory(victim: Path) -> None:
    victim.unlink()
    victim.mkdir()


def put_a_link_to_a_secret(victim: Path) -> None:
    """Only a large file is known by its inode; a small one that has another now is simply the newer one."""
    victim.unlink()
    victim.hardlink_to(victim.parents[1] / "secret")


CHANGES = [
    (remove, ProblemKind.VANISHED, "No such file or directory"),
    (put_a_symlink, ProblemKind.REPLACED, REPLACED),
    (put_a_fifo, ProblemKind.REPLACED, REPLACED),
    (put_a_socket, ProblemKind.REPLACED, REPLACED),
    (put_a_directory, ProblemKind.REPLACED, REPLACED),
]


@pytest.mark.parametrize(("change", "kind", "reason"), CHANGES)
def test_a_small_file_that_is_no_more_is_left_out_and_named(
    tmp_path: Path, change: Callable[[Path], None], kind: ProblemKind, reason: str
) -> None:
    archive = packed_after(tmp_path, SMALL, change)
    assert archive.problems == [Problem(b"entry/victim", kind, reason)]
    assert {name: len(content) for name, content in contents(archive).items()} == {"before": 10, "zz": 20}


@pytest.mark.parametrize(
    ("change", "kind", "reason"), [*CHANGES, (put_a_link_to_a_secret, ProblemKind.REPLACED, REPLACED)]
)
def test_a_large_file_that_is_no_more_becomes_zeros_and_is_named(
    tmp_path: Path, change: Callable[[Path], None], kind: ProblemKind, reason: str
) -> None:
    archive = packed_after(tmp_path, LARGE, change)
    found = contents(archive)
    assert set(archive.problems) == {Problem(b"entry/victim", kind, reason)}
    assert found["victim"] == bytes(LARGE.size)
    assert others(found) == {"before": 10, "zz": 20}


def test_a_small_file_that_shrank_since_the_plan_is_stored_as_it_is_now(tmp_path: Path) -> None:
    archive = packed_after(tmp_path, SMALL, lambda victim: os.truncate(victim, 7))
    assert (archive.problems, contents(archive)["victim"]) == ([], SMALL.content()[:7])


def test_a_small_file_that_grew_a_little_since_the_plan_is_stored_as_it_is_now(tmp_path: Path) -> None:
    archive = packed_after(tmp_path, SMALL, lambda victim: os.truncate(victim, SMALL.size + 1000))
    assert (archive.problems, contents(archive)["victim"]) == ([], SMALL.content() + bytes(1000))


def test_a_small_file_that_outgrew_its_segment_is_cut_and_named(tmp_path: Path) -> None:
    size = SMALL.size + SEGMENT // GROWTH + 1
    archive = packed_after(tmp_path, SMALL, lambda victim: os.truncate(victim, size))
    reason = f"it grew while it was read ({SMALL.size} bytes, then {size}), and only its beginning is here"
    assert archive.problems == [Problem(b"entry/victim", ProblemKind.CUT, reason)]
    assert archive.problems[0].is_loss(ignores_changes=True)
    assert contents(archive)["victim"] == SMALL.content()


def test_all_growth_in_a_segment_together_keeps_within_its_room(tmp_path: Path) -> None:
    def grow() -> None:
        for path in (tmp_path / "entry").iterdir():
            os.truncate(path, 3000)

    build(tmp_path, ENTRY, Directory({b"%d" % number: File(1) for number in range(20)}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", meanwhile=grow)
    whole = [name for name, content in contents(archive).items() if len(content) == 3000]
    assert len(whole) == SEGMENT // GROWTH // 2999
    assert len(archive.problems) == 20 - len(whole)


@pytest.mark.parametrize(("size", "verb"), [(LARGE.size + 5, "grew"), (SEGMENT + 5, "shrank"), (0, "shrank")])
def test_a_large_file_keeps_its_planned_size_and_is_named(tmp_path: Path, size: int, verb: str) -> None:
    archive = packed_after(tmp_path, LARGE, lambda victim: os.truncate(victim, size))
    reason = f"it {verb} while it was read ({LARGE.size} bytes, then {size})"
    assert set(archive.problems) == {Problem(b"entry/victim", ProblemKind.CHANGED, reason)}
    assert contents(archive)["victim"] == LARGE.content()[:size].ljust(LARGE.size, b"\0")


def test_a_large_file_written_to_in_place_is_named(tmp_path: Path) -> None:
    def write(victim: Path) -> None:
        with victim.open("r+b") as file:
            file.write(b"new")

    archive = packed_after(tmp_path, LARGE, write)
    reason = "it was written to while it was read"
    assert set(archive.problems) == {Problem(b"entry/victim", ProblemKind.CHANGED, reason)}


@SIZES
@pytest.mark.parametrize("change", [remove, put_a_symlink, put_a_directory])
def test_a_first_name_that_is_no_more_is_a_lost_leader(
    tmp_path: Path, file: File, change: Callable[[Path], None]
) -> None:
    assert packed_after(tmp_path, file, change, victim2=Link(0)).lost_leader


def test_another_inode_under_the_first_name_is_a_lost_leader(tmp_path: Path) -> None:
    archive = packed_after(tmp_path, SMALL, put_a_link_to_a_secret, victim2=Link(0))
    assert archive.lost_leader
    assert SECRET not in gzip.decompress(archive.data())


@SIZES
def test_a_later_name_that_is_no_more_loses_nothing(tmp_path: Path, file: File) -> None:
    archive = packed_after(tmp_path, file, lambda victim: (victim.parent / "w").unlink(), w=Link(0))
    assert not archive.lost_leader
    assert {problem.reason for problem in archive.problems} == ({STATUS_CHANGE} if file is LARGE else set())
    assert contents(archive)["victim"] == file.content()


def test_a_large_file_whose_time_was_put_back_is_named(tmp_path: Path) -> None:
    def write(victim: Path) -> None:
        status = victim.stat()
        with victim.open("r+b") as file:
            file.write(b"new")
        os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))

    archive = packed_after(tmp_path, LARGE, write)
    assert set(archive.problems) == {Problem(b"entry/victim", ProblemKind.CHANGED, STATUS_CHANGE)}


def test_a_later_name_of_an_inode_that_became_another_file_has_its_own_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inode is said to be the same one: which one is free next is for the file system to say."""
    build(tmp_path, ENTRY, Directory({b"a": File(100, seed=1), b"b": File(100, seed=2)}))
    os.link(tmp_path / "entry/a", tmp_path / "outside-a")
    time.sleep(2 * REST / 1e9)
    os.link(tmp_path / "entry/b", tmp_path / "outside-b")
    monkeypatch.setattr(Meta, "identity", (1, 1))
    monkeypatch.setattr("async_backup.archive.plan.identity_of", lambda _: (1, 1))
    monkeypatch.setattr("async_backup.archive.pack.identity_of", lambda _: (1, 1))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    assert contents(archive)["a"] != contents(archive)["b"]
    assert archive.problems == []


@pytest.mark.parametrize("file", [b"small", b"large"])
@pytest.mark.parametrize("level", ["entry", "entry/a", "entry/a/b"])
def test_a_directory_swapped_for_a_symlink_lets_nothing_in_from_outside(
    tmp_path: Path, file: bytes, level: str
) -> None:
    size = SEGMENT if file == b"large" else 100
    build(tmp_path, b"outside", Directory({b"a": Directory({b"b": Directory({file: File(size, 66)})})}))
    build(tmp_path, b"source", Directory({ENTRY: Directory({b"a": Directory({b"b": Directory({file: File(size)})})})}))

    def swap() -> None:
        victim = tmp_path / "source" / level
        victim.rename(tmp_path / "gone")
        victim.symlink_to(tmp_path / "outside" / level.removeprefix("entry").lstrip("/"))

    archive = make_archive(tmp_path / "source", ENTRY, tmp_path / "a.tar.gz", meanwhile=swap)
    assert {(problem.path, problem.kind) for problem in archive.problems} == {
        (b"entry/a/b/" + file, ProblemKind.REPLACED)
    }
    assert File(size, 66).content() not in gzip.decompress(archive.data())


def test_a_directory_swapped_for_another_one_lets_nothing_in_from_there(tmp_path: Path) -> None:
    build(tmp_path, b"other", Directory({b"file": File(100, 66)}))
    build(tmp_path, ENTRY, Directory({b"a": Directory({b"file": File(100)})}))

    def swap() -> None:
        (tmp_path / "entry/a").rename(tmp_path / "gone")
        (tmp_path / "other").rename(tmp_path / "entry/a")

    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", meanwhile=swap)
    assert archive.problems == [Problem(b"entry/a/file", ProblemKind.REPLACED, REPLACED)]
    assert File(100, 66).content() not in gzip.decompress(archive.data())


def test_while_a_directory_and_a_symlink_are_swapped_all_the_time_nothing_leaks(tmp_path: Path) -> None:
    build(tmp_path, b"outside", Directory({b"%d" % number: File(50, 66) for number in range(30)}))
    build(tmp_path, ENTRY, Directory({b"a": Directory({b"%d" % number: File(50) for number in range(30)})}))
    (tmp_path / "link").symlink_to("outside")
    done = threading.Event()

    def flip() -> None:
        inside, spare, link = tmp_path / "entry/a", tmp_path / "spare", tmp_path / "link"
        while not done.is_set():
            inside.rename(spare)
            link.rename(inside)
            inside.rename(link)
            spare.rename(inside)

    flipper = threading.Thread(target=flip)
    flipper.start()
    try:
        raws = [gzip.decompress(make_archive(tmp_path, ENTRY, tmp_path / "x").data()) for _ in range(150)]
    finally:
        done.set()
        flipper.join()
    assert not any(File(50, 66).content() in raw for raw in raws)
    at_rest = gzip.decompress(make_archive(tmp_path, ENTRY, tmp_path / "x").data())
    assert at_rest.count(File(50).content()) == 30


def test_a_symlink_is_stored_as_the_plan_saw_it(tmp_path: Path) -> None:
    build(tmp_path, ENTRY, Directory({b"link": Symlink(b"planned")}))

    def turn() -> None:
        (tmp_path / "entry/link").unlink()
        (tmp_path / "entry/link").symlink_to("later")

    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", meanwhile=turn)
    assert [member.link for _, member in archive.members()] == [b"", b"planned"]


@pytest.mark.parametrize("level", range(10))
def test_the_segments_one_after_another_are_one_gzip_at_every_level(tmp_path: Path, level: int) -> None:
    build(tmp_path, ENTRY, Directory({b"a": LARGE, b"b": SMALL, b"c": Directory({b"d": SMALL})}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", level=level)
    assert contents(archive) == {"a": LARGE.content(), "b": SMALL.content(), "c/d": SMALL.content()}
    assert archive.path.stat().st_size < sum(segment.raw_length for segment in archive.segments) * 1.01


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_the_pieces_of_a_file_that_do_not_compress_are_stored_and_the_others_are_not(
    tmp_path: Path, level: int
) -> None:
    (tmp_path / "entry").mkdir()
    noise = File(8 * SEGMENT, 2).content()
    (tmp_path / "entry/mixed").write_bytes(noise + bytes(8 * SEGMENT) + noise)
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", level=level)
    assert contents(archive)["mixed"] == noise + bytes(8 * SEGMENT) + noise
    sizes = [(segment.length, segment.raw_length) for segment in archive.segments if segment.is_piece]
    stored = [length > raw for length, raw in sizes]
    assert stored == [True] * 8 + [False] * 8 + [True] * 8
    assert sum(length for length, _ in sizes[8:16]) < sum(raw for _, raw in sizes[8:16]) / (10 if level else 2)


def test_gnu_tar_reads_an_archive_of_stored_and_compressed_segments(tmp_path: Path) -> None:
    build(tmp_path, ENTRY, Directory({b"noise": LARGE, b"small": SMALL, b"zeros": File(100, 3, hole=5 * SEGMENT)}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    done = subprocess.run(["tar", "--compare", "-zf", archive.path, "-C", tmp_path], check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_source_that_is_gone_raises(tmp_path: Path) -> None:
    build(tmp_path, b"source", Directory({ENTRY: Directory({b"x": File(1)})}))
    with pytest.raises(FileNotFoundError):
        make_archive(tmp_path / "source", ENTRY, tmp_path / "x", meanwhile=lambda: rmtree(tmp_path / "source"))
    assert not (tmp_path / "x").exists()
