"""The order of members, where cuts fall and stay, and what a plan makes of a tree that cannot be read whole."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from async_backup.archive.content import REST
from async_backup.archive.descent import open_file
from async_backup.archive.index import PIECE
from async_backup.archive.jobs import Batch, Leader, Piece
from async_backup.archive.member import HARD_LINK, REGULAR, Problem, ProblemKind, meta_of
from async_backup.archive.pack import pack
from async_backup.archive.plan import Planner, PlanRules
from async_backup.archive.selection import Selection
from tests.archives import Archive, make_archive, plan
from tests.trees import IS_ROOT, SEGMENT, Directory, File, Link, Symlink, build, build_deep, trees

if TYPE_CHECKING:
    from async_backup.archive.index import Member
    from async_backup.archive.member import Meta
    from tests.trees import Node

ENTRY = b"entry"


def small_files(count: int) -> Directory:
    return Directory({b"file-%05d" % number: File(500 + number % 1500, number) for number in range(count)})


def archive_of(tmp_path: Path, node: Directory | File, *, hard_links: bool = True) -> Archive:
    build(tmp_path, ENTRY, node)
    return make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", hard_links=hard_links)


def member(archive: Archive, path: bytes) -> Member:
    return next(found for _, found in archive.members() if found.path == path and found.type != PIECE)


def test_a_directorys_members_come_in_the_order_of_their_bytes_and_before_its_subdirectories(tmp_path: Path) -> None:
    below = Directory({b"z": File(), b"\xff": File(), b"a": Directory({b"deep": File()})})
    archive = archive_of(tmp_path, Directory({b"b": below, b"c": File(), b"Z": Symlink(b"c"), b"b.d": Directory()}))
    listed = [found.path.removeprefix(b"entry") for _, found in archive.members()]
    assert listed == [b"", b"/Z", b"/c", b"/b", b"/b/z", b"/b/\xff", b"/b/a", b"/b/a/deep", b"/b.d"]


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    build(tmp_path, ENTRY, Directory({b"sub": small_files(200), b"large": File(3 * SEGMENT), b"also": Link(0)}))
    first, second = (make_archive(tmp_path, ENTRY, tmp_path / name).data() for name in ("a", "b"))
    assert first == second


@settings(max_examples=25)
@given(tree=trees())
def test_any_tree_gives_the_same_segments_from_plans_that_were_pickled(tree: Directory) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        build(Path(scratch), ENTRY, tree)
        jobs, problems = plan(Path(scratch), ENTRY)
        packed = [pack(os.fsencode(scratch), job, segment_size=SEGMENT, level=1) for job in jobs]
        jobs = [pickle.loads(pickle.dumps(job)) for job in reversed(jobs)]
        again = [pack(os.fsencode(scratch), job, segment_size=SEGMENT, level=1) for job in jobs]
    assert (problems, again[::-1]) == ([], packed)


@pytest.mark.parametrize(("where", "most"), [(b"file-00000-", 4), (b"file-00500-new", 4), (b"zzz", 4)])
def test_one_new_file_changes_only_the_segments_around_it(tmp_path: Path, where: bytes, most: int) -> None:
    build(tmp_path, ENTRY, small_files(1500))
    before = make_archive(tmp_path, ENTRY, tmp_path / "before")
    build(tmp_path / "entry", where, File(700, 1))
    after = make_archive(tmp_path, ENTRY, tmp_path / "after")
    new = {segment.sha256 for segment in after.segments} - {segment.sha256 for segment in before.segments}
    assert len(after.segments) > 40
    assert len(new) <= most + 1  # the directory's own time has changed too


def test_a_changed_mode_re_sends_a_header_and_not_the_large_file(tmp_path: Path) -> None:
    build(tmp_path, ENTRY, Directory({b"large": File(10 * SEGMENT)}))
    before = make_archive(tmp_path, ENTRY, tmp_path / "before")
    (tmp_path / "entry/large").chmod(0o600)
    after = make_archive(tmp_path, ENTRY, tmp_path / "after")
    assert [a.sha256 == b.sha256 for a, b in zip(before.segments, after.segments, strict=True)] == [
        False,
        *[True] * 11,
    ]


def test_segments_of_small_files_are_between_half_and_the_whole_of_the_segment_size(tmp_path: Path) -> None:
    jobs, _ = plan_of(tmp_path, small_files(1500))
    planned = [sum(1536 + size + -size % 512 for _, size in files_of(job)) for job in jobs[1:-1]]
    assert SEGMENT / 2 <= min(planned) <= max(planned) <= SEGMENT


def plan_of(tmp_path: Path, node: Directory) -> tuple[list[Batch], list[Problem]]:
    build(tmp_path, ENTRY, node)
    jobs, problems = plan(tmp_path, ENTRY)
    return [job for job in jobs if isinstance(job, Batch)], problems


def files_of(batch: Batch) -> list[tuple[bytes, int]]:
    return [(item[0], item[1]) for group in batch.groups for item in group.items if isinstance(item[1], int)]


def test_long_paths_do_not_make_a_segment_larger_than_twice_its_size(tmp_path: Path) -> None:
    build_deep(tmp_path, ENTRY, [b"d" * 250] * 20, Directory({b"%d" % number: File() for number in range(200)}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a")
    assert max(segment.raw_length for segment in archive.segments) < 2 * SEGMENT


@pytest.mark.parametrize("size", [SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + 1])
def test_a_file_of_a_segment_or_more_is_cut_at_multiples_from_its_start(tmp_path: Path, size: int) -> None:
    build(tmp_path, ENTRY, Directory({b"a": File(10), b"file": File(size)}))
    pieces = [(job.offset, job.length) for job in plan(tmp_path, ENTRY)[0] if isinstance(job, Piece)]
    starts = range(0, size, SEGMENT) if size >= SEGMENT else ()
    assert pieces == [(start, min(SEGMENT, size - start)) for start in starts]


@pytest.mark.parametrize("job_index", [0, -1])
def test_only_the_last_batch_ends_the_archive(tmp_path: Path, job_index: int) -> None:
    jobs, _ = plan_of(tmp_path, small_files(200))
    assert jobs[job_index].is_last == (job_index == -1)


def test_later_names_of_a_file_are_links_to_the_first_also_across_directories(tmp_path: Path) -> None:
    below = Directory({b"small": Link(1), b"large": Link(0)})
    archive = archive_of(tmp_path, Directory({b"large": File(2 * SEGMENT), b"small": File(5), b"sub": below}))
    links = {found.path: found.link for _, found in archive.members() if found.type == HARD_LINK}
    assert links == {b"entry/sub/small": b"entry/small", b"entry/sub/large": b"entry/large"}


def test_without_hard_links_each_name_carries_the_content(tmp_path: Path) -> None:
    tree = Directory({b"a": File(5), b"b": Link(0), b"large": File(2 * SEGMENT), b"m": Link(1)})
    archive = archive_of(tmp_path, tree, hard_links=False)
    sizes = {found.path: found.size for _, found in archive.members() if found.type == REGULAR}
    large = 2 * SEGMENT
    assert sizes == {b"entry/a": 5, b"entry/b": 5, b"entry/large": large, b"entry/m": large}


def test_where_the_first_name_is_excluded_the_second_carries_the_content(tmp_path: Path) -> None:
    build(tmp_path, ENTRY, Directory({b"a": File(5), b"b": Link(0), b"c": Link(0)}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "x", selection=Selection(("/a",)))
    listed = [(found.path, found.type, found.link) for _, found in archive.members()][1:]
    assert listed == [(b"entry/b", REGULAR, b""), (b"entry/c", HARD_LINK, b"entry/b")]


@pytest.mark.parametrize("size", [5, 2 * SEGMENT])
def test_where_the_first_name_cannot_be_read_the_second_carries_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def refusing(name: bytes, directory: int) -> int:
        if name == b"a":
            raise PermissionError(13, "Permission denied")
        return open_file(name, directory)

    monkeypatch.setattr("async_backup.archive.plan.open_file", refusing)
    build(tmp_path, ENTRY, Directory({b"a": File(size), b"b": Link(0), b"c": Link(0)}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "x")
    assert archive.problems == [Problem(b"entry/a", ProblemKind.UNREADABLE, "Permission denied")]
    assert (member(archive, b"entry/b").size, member(archive, b"entry/c").link) == (size, b"entry/b")
    assert not archive.lost_leader


DROPPED = "-dac_override,-dac_read_search"
UNPRIVILEGED = ("setpriv", f"--bounding-set={DROPPED}", f"--inh-caps={DROPPED}")
"""Makes root obey permissions."""

PLAN_AND_PACK = """
import sys
from pathlib import Path
from tests.archives import make_archive
for problem in make_archive(Path(sys.argv[1]), b"entry", Path(sys.argv[2])).problems:
    print(problem.path.decode(), problem.kind, problem.reason, sep=": ")
"""


@pytest.mark.skipif(not IS_ROOT or shutil.which("setpriv") is None, reason="only root can give up powers")
def test_what_cannot_be_read_is_named_and_left_out_and_costs_nothing_else() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        secrets: dict[bytes, Node] = {b"dir": Directory({b"inside": File()}), b"file": File(5), b"large": File(SEGMENT)}
        build(top, ENTRY, Directory({**secrets, b"open": File(3), b"zlink": Symlink(b"open")}))
        (top / "entry/file").chmod(0)
        (top / "entry/large").chmod(0)
        (top / "entry/dir").chmod(0)
        target = top / "a.tar.gz"
        python = [sys.executable, "-c", PLAN_AND_PACK, str(top), str(target)]
        root = Path(__file__).parents[1]
        done = subprocess.run([*UNPRIVILEGED, *python], cwd=root, check=True, capture_output=True, text=True)
        left = subprocess.run(["tar", "-tf", target], check=True, capture_output=True, text=True)
    denied = "unreadable: Permission denied"
    assert sorted(done.stdout.splitlines()) == [f"entry/{name}: {denied}" for name in ("dir", "file", "large")]
    assert left.stdout.split() == ["entry/", "entry/open", "entry/zlink", "entry/dir/"]


def test_a_socket_is_skipped_with_a_note(tmp_path: Path) -> None:
    build(tmp_path, ENTRY, Directory({b"after": File()}))
    with socket.socket(socket.AF_UNIX) as server, chdir(tmp_path):
        server.bind("entry/socket")
        archive = make_archive(tmp_path, ENTRY, tmp_path / "x")
    assert archive.problems == [Problem(b"entry/socket", ProblemKind.SKIPPED, "a socket cannot be archived")]
    assert not archive.problems[0].kind.is_loss
    assert [found.path for _, found in archive.members()] == [b"entry", b"entry/after"]


@pytest.mark.parametrize("entry", [b"missing", b"\xff"])
def test_an_entry_that_is_not_there_raises_and_makes_no_archive(tmp_path: Path, entry: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        make_archive(tmp_path, entry, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_an_entry_that_is_a_link_to_a_directory_is_kept_as_the_link(tmp_path: Path) -> None:
    build(tmp_path, b"outside", Directory({b"secret": File()}))
    build(tmp_path, ENTRY, Symlink(b"outside"))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "x")
    assert [(found.path, found.link) for _, found in archive.members()] == [(ENTRY, b"outside")]


def test_a_directory_replaced_while_the_plan_is_made_is_named_and_not_followed(tmp_path: Path) -> None:
    build(tmp_path, b"outside", Directory({b"secret": File()}))
    victim, last = Directory({b"mine": File()}), Directory({b"last": File()})
    build(tmp_path, ENTRY, Directory({b"w": File(SEGMENT), b"victim": victim, b"zz": last}))
    time.sleep(2 * REST / 1e9)
    planner = Planner(bytes(tmp_path), ENTRY, PlanRules(SEGMENT))
    jobs = planner.jobs()
    first = next(jobs)
    shutil.rmtree(tmp_path / "entry/victim")
    (tmp_path / "entry/victim").symlink_to(tmp_path / "outside")
    planned = [
        item[0] for job in [first, *jobs] if isinstance(job, Batch) for group in job.groups for item in group.items
    ]
    assert planned == [b"entry", b"w", b"zz", b"last"]
    assert [(problem.path, problem.kind) for problem in planner.problems] == [
        (b"entry/victim", ProblemKind.REPLACED),
    ]


def test_a_directory_replaced_between_the_look_and_the_step_is_named_and_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace_after_looking(status: os.stat_result) -> Meta | None:
        if status.st_ino == victim:
            (tmp_path / "entry/victim").rename(tmp_path / "gone")
            (tmp_path / "other").rename(tmp_path / "entry/victim")
        return meta_of(status)

    build(tmp_path, b"other", Directory({b"theirs": File()}))
    build(tmp_path, ENTRY, Directory({b"victim": Directory({b"mine": File()})}))
    victim = (tmp_path / "entry/victim").stat().st_ino
    monkeypatch.setattr("async_backup.archive.plan.meta_of", replace_after_looking)
    archive = make_archive(tmp_path, ENTRY, tmp_path / "x")
    assert [(problem.path, problem.kind) for problem in archive.problems] == [(b"entry/victim", ProblemKind.REPLACED)]
    assert [found.path for _, found in archive.members()] == [ENTRY, b"entry/victim"]


def test_a_plan_holds_a_leader_for_each_file_with_several_names(tmp_path: Path) -> None:
    jobs, _ = plan_of(tmp_path, Directory({b"a": File(5), b"b": Link(0)}))
    items = [item for group in jobs[0].groups for item in group.items]
    assert [isinstance(item, Leader) for item in items] == [False, True, False]


def test_cuts_do_not_depend_on_the_order_in_which_the_disk_lists_names(tmp_path: Path) -> None:
    names = [b"%x" % (number * 2654435761 % 2**32) for number in range(200)]
    build(tmp_path, ENTRY, Directory({name: File(100) for name in names}))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "x")
    listed = [found.path for _, found in archive.members()]
    assert all(one < other for one, other in pairwise(listed))


def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "entry")
    archive = make_archive(tmp_path, ENTRY, tmp_path / "x")
    assert stat.S_ISFIFO((tmp_path / "entry").stat().st_mode)
    assert [found.type for _, found in archive.members()] == [b"6"]


@pytest.mark.parametrize("ignores", [False, True])
def test_what_counts_as_a_loss_for_who_ignores_changes(ignores: bool) -> None:
    problem = Problem(b"busy", ProblemKind.CHANGED, "it was written to")
    assert problem.is_loss(ignores_changes=ignores) != ignores
    assert problem._replace(kind=ProblemKind.VANISHED).is_loss(ignores_changes=ignores)
