"""Files with holes: the map is the one of GNU tar, its size is bounded, and holes cost nothing however large."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.archive.content import read_file, read_parts
from async_backup.archive.header import END_OF_ARCHIVE, header
from async_backup.archive.index import CHANGED, PIECE
from async_backup.archive.jobs import Piece
from async_backup.archive.member import Problem, ProblemKind, meta_of
from async_backup.archive.sparse import LEAST_HOLE, OCTAL_LIMIT, data_size, extents, slices, sparse_header, sparse_of
from tests.archives import make_archive, plan, segments_of
from tests.everything import data_of, write_with_holes
from tests.test_tars import GNU_TAR, judge, run
from tests.trees import SEGMENT

if TYPE_CHECKING:
    from async_backup.archive.sparse import Extent
    from tests.archives import Archive

ENTRY = b"entry"
BLOCK = b"data" * 1024
TIB = 1 << 40


def layouts() -> st.SearchStrategy[tuple[int, list[int]]]:
    """A size, and which blocks of 4 KiB have data."""
    blocks = st.lists(st.integers(0, 60), unique=True, max_size=40).map(sorted)
    return st.tuples(st.integers(1, 61 * 4096), blocks)


def build(path: Path, size: int, blocks: list[int]) -> None:
    write_with_holes(path, size, *[(number * 4096, os.urandom(4096)) for number in blocks])


def found_in(path: Path, limit: int = 65_536) -> list[Extent]:
    with path.open("rb") as file:
        return extents(file.fileno(), path.stat().st_size, limit)


def archived(directory: Path, size: int, *data: tuple[int, bytes]) -> Archive:
    """The archive of an entry that is one file with holes."""
    write_with_holes(directory / "entry", size, *data)
    return make_archive(directory, ENTRY, directory / "a.tar.gz")


def restored(archive: Archive) -> tuple[int, dict[int, bytes]]:
    out = archive.path.parent / "out"
    out.mkdir()
    run(GNU_TAR, archive.path, out)
    return data_of(out / "entry")


@settings(max_examples=60)
@given(layout=layouts(), limit=st.integers(1, 8))
def test_extents_are_in_order_within_the_limit_and_leave_out_nothing(layout: tuple[int, list[int]], limit: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "file")
        build(path, *layout)
        size, found = path.stat().st_size, found_in(path, limit)
        content, rebuilt = path.read_bytes(), bytearray(size)
    for offset, length in found:
        rebuilt[offset : offset + length] = content[offset : offset + length]
    ends = [offset + length for offset, length in found]
    assert bytes(rebuilt) == content
    assert len(found) <= limit
    assert all(end < start for end, (start, _) in zip(ends, found[1:], strict=False))
    assert all(length > 0 for _, length in found)


def test_beyond_the_limit_the_shortest_holes_are_given_up(tmp_path: Path) -> None:
    holes = [1, 1, 100, 1, 1, 50, 1]
    starts = [sum(holes[:number]) + number for number in range(len(holes) + 1)]
    build(tmp_path / "file", 4096 * (starts[-1] + 1), starts)
    assert found_in(tmp_path / "file", 3) == [(0, 5 * 4096), (105 * 4096, 5 * 4096), (160 * 4096, 3 * 4096)]


def test_of_many_extents_no_more_than_the_limit_are_kept(tmp_path: Path) -> None:
    write_with_holes(tmp_path / "file", 20_000 * 8192, *[(number * 8192, b"x") for number in range(20_000)])
    assert 0 < len(found_in(tmp_path / "file", 1000)) <= 1000


@given(layout=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=20), step=st.integers(1, 40))
def test_slices_are_all_of_the_data_in_pieces_of_one_size(layout: list[tuple[int, int]], step: int) -> None:
    parts, end = [], 0
    for gap, length in layout:
        parts.append((end + gap, length))
        end += gap + length
    pieces = list(slices(parts, step))
    assert [offset for piece in pieces for start, length in piece for offset in range(start, start + length)] == [
        offset for start, length in parts for offset in range(start, start + length)
    ]
    assert all(data_size(piece) == step for piece in pieces[:-1])
    assert all(0 < data_size(piece) <= step for piece in pieces)


@pytest.mark.parametrize(("size", "is_sparse"), [(LEAST_HOLE + 99, False), (LEAST_HOLE + 100, True)])
def test_a_hole_counts_from_four_kilobytes_on(size: int, is_sparse: bool) -> None:
    assert (sparse_of([(0, 100)], size) is not None) is is_sparse


@settings(max_examples=40)
@given(layout=layouts(), is_hole_last=st.booleans())
def test_the_payload_is_the_one_of_gnu_tar(layout: tuple[int, list[int]], is_hole_last: bool) -> None:
    judge("tar")
    size, blocks = layout
    layout = (100 * 4096 + size, blocks) if is_hole_last else (101 * 4096, [*blocks, 100])
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "entry")
        build(path, *layout)
        command = ["tar", "--format=pax", "--sparse", "--sparse-version=1.0", "-cf", "-", "-C", directory, "entry"]
        theirs = subprocess.run(command, check=True, capture_output=True).stdout
        archive = make_archive(Path(directory), ENTRY, Path(directory, "a.tar.gz"), segment_size=1 << 20)
        ours = gzip.decompress(archive.data())
    assert payload_of(ours) == payload_of(theirs)


def payload_of(tar: bytes) -> tuple[object, bytes]:
    """The real size, and what is stored, map included."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        member = archive.getmembers()[0]
    start = member.offset
    while tar[start + 156 : start + 157] == b"x":
        start += 512 + -(-int(tar[start + 124 : start + 135], 8) // 512) * 512
    return member.size, tar[start + 512 :][: int(tar[start + 124 : start + 135], 8)]


@settings(max_examples=30)
@given(layout=layouts(), segments=st.integers(1, 3))
def test_any_file_with_holes_comes_back_small_or_large(layout: tuple[int, list[int]], segments: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "entry")
        build(path, *layout)
        archive = make_archive(Path(scratch), ENTRY, Path(scratch, "a.tar.gz"), segment_size=segments * SEGMENT)
        assert archive.problems == []
        assert restored(archive) == data_of(path)


def test_a_tebibyte_of_hole_takes_a_few_segments(tmp_path: Path) -> None:
    data = [(number * (TIB // 16), BLOCK * 16) for number in range(16)]
    archive = archived(tmp_path, TIB, *data)
    assert (len(archive.segments), archive.problems) == (2 + 16, [])
    assert sum(segment.raw_length for segment in archive.segments) < 17 * SEGMENT
    assert restored(archive) == data_of(tmp_path / "entry")


def test_the_data_of_a_large_file_is_cut_at_multiples_of_a_segment_whatever_lies_between(tmp_path: Path) -> None:
    write_with_holes(tmp_path / "entry", TIB, (SEGMENT, BLOCK * 20), (TIB // 2, BLOCK))
    pieces = [job for job in plan(tmp_path, ENTRY)[0] if isinstance(job, Piece)]
    assert [(piece.offset, piece.length, piece.is_last) for piece in pieces] == [
        (0, SEGMENT, False),
        (SEGMENT, 5 * 4096, True),
    ]
    assert pieces[1].parts == ((2 * SEGMENT, 4 * 4096), (TIB // 2, 4096))


def test_the_index_shows_the_size_of_the_file_and_places_of_pieces_in_its_data(tmp_path: Path) -> None:
    archive = archived(tmp_path, TIB, (SEGMENT, BLOCK * 20))
    listed = [(member.type, member.size, member.offset) for _, member in archive.members()]
    assert listed == [(b"0", TIB, 0), (PIECE, SEGMENT, 0), (PIECE, 20 * 4096 - SEGMENT, SEGMENT)]


def test_a_map_leaves_room_in_its_segment(tmp_path: Path) -> None:
    """A segment of 64 KiB keeps 1024 extents; its file has ten times as many."""
    archive = archived(tmp_path, 10_000 * 16384, *[(number * 16384, b"x") for number in range(10_000)])
    assert segments_of(archive.data())[0].raw_length <= SEGMENT
    assert restored(archive) == data_of(tmp_path / "entry")


def test_a_file_that_lost_its_data_since_the_plan_has_zeros_there_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "entry"
    write_with_holes(path, TIB, (SEGMENT, BLOCK))

    def cut() -> None:
        os.truncate(path, SEGMENT)

    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", meanwhile=cut)
    reason = f"it shrank while it was read ({TIB} bytes, then {SEGMENT})"
    assert archive.problems == [Problem(ENTRY, ProblemKind.CHANGED, reason)]
    assert [member.flags for _, member in archive.members()] == [0, CHANGED]
    assert restored(archive) == (TIB, {})


@pytest.mark.parametrize("stored", [OCTAL_LIMIT - 1, OCTAL_LIMIT, OCTAL_LIMIT + 12345])
def test_what_follows_eight_gibibytes_of_data_is_found(tmp_path: Path, stored: int) -> None:
    meta = meta_of(os.stat(__file__))
    assert meta is not None
    sparse = sparse_of([(0, stored - 512)], TIB)
    assert sparse is not None
    assert sparse.stored == stored
    with (tmp_path / "x.tar").open("wb") as file:
        file.write(sparse_header(b"sparse", meta._replace(size=TIB), stored) + sparse.map)
        file.seek(-(-stored // 512) * 512 - 512, os.SEEK_CUR)
        file.write(header(b"next", meta._replace(size=0)) + END_OF_ARCHIVE)
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert [(member.name, member.size) for member in tar] == [("sparse", TIB), ("next", 0)]
    for program in ("tar", "bsdtar"):
        command = [judge(program), "-tvf", str(tmp_path / "x.tar")]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        assert [str(TIB) in lines[0], lines[0].split()[-1], lines[1].split()[-1]] == [True, "sparse", "next"]


def test_parts_that_are_not_there_are_zeros_and_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345678")
    with (tmp_path / "file").open("rb") as file:
        assert read_parts(file.fileno(), [(0, 2), (6, 4), (100, 3)]) == (b"1278\0\0\0\0\0", 5)


def test_a_file_without_holes_is_asked_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(bytes(100_000))
    monkeypatch.setattr(os, "lseek", lambda *_: pytest.fail("a file that fills its blocks was searched for holes"))
    with (tmp_path / "file").open("rb") as file:
        _, payload, is_sparse, _, change = read_file(file.fileno(), 100_000, 0, xattrs=False)
    assert (payload, is_sparse, change) == (bytes(100_000), False, None)
