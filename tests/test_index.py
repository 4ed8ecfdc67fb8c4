"""The index says the truth about every segment and member, and anything but a whole one is a ValueError."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.archive.gzip import EXTRA_LIMIT, EXTRA_OVERHEAD, extra_member
from async_backup.archive.index import (
    FOOTER_SIZE,
    FOOTER_TAG,
    PIECE,
    IndexWriter,
    Segment,
    member_record,
    pack_records,
    read_footer,
    read_index,
)
from async_backup.archive.member import REGULAR, Meta
from tests.archives import Archive, make_archive, segments_of
from tests.trees import SEGMENT, Attributes, Directory, File, Link, Symlink, build, trees

if TYPE_CHECKING:
    from async_backup.archive.index import Member

ENTRY = b"entry"
META = Meta(REGULAR, 0o644, 0, 0, 0, 0, 0, 0, 0, 0)
TREE = Directory(
    {
        b"large": File(SEGMENT * 2 + 100),
        b"large-too": Link(0),
        b"link": Symlink(b"large"),
        b"sub": Directory({b"%d" % number: File(3000, number) for number in range(60)}),
        b"\xff" * 120: File(5),
    }
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    source = tmp_path_factory.mktemp("index")
    build(source, ENTRY, TREE)
    return make_archive(source, ENTRY, source / "a.tar.gz")


def raw_of(data: bytes, segment: Segment) -> bytes:
    return gzip.decompress(data[segment.offset :][: segment.length])


def name_at(raw: bytes, member: Member) -> bytes:
    """The name that a tar reads where the index says that the member's header begins."""
    with tarfile.open(fileobj=io.BytesIO(raw[member.offset :]), encoding="utf-8", errors="surrogateescape") as tar:
        found = tar.next()
    assert found is not None
    return os.fsencode(found.name)


@settings(max_examples=25)
@given(tree=trees())
def test_of_any_tree_every_member_is_listed_where_its_header_stands(tree: Directory) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        build(Path(scratch), ENTRY, tree)
        archive = make_archive(Path(scratch), ENTRY, Path(scratch, "a.tar.gz"))
        data = archive.data()
    listed = [(s, m) for s in segments_of(data) for m in s.listing() if m.type != PIECE]
    assert [name_at(raw_of(data, segment), member) for segment, member in listed] == [m.path for _, m in listed]
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        assert [os.fsencode(name) for name in tar.getnames()] == [member.path for _, member in listed]


def test_the_index_that_is_read_is_the_one_that_was_written(archive: Archive) -> None:
    assert segments_of(archive.data()) == archive.segments


def test_every_segments_place_length_and_digest_are_right(archive: Archive) -> None:
    data, offset = archive.data(), 0
    for segment in segments_of(data):
        stored = data[segment.offset :][: segment.length]
        assert (segment.offset, segment.sha256) == (offset, hashlib.sha256(stored).digest())
        assert segment.raw_length == len(gzip.decompress(stored))
        assert segment.members == sum(member.type != PIECE for member in segment.listing())
        offset += segment.length
    assert read_footer(data[-FOOTER_SIZE:]).index_offset == offset


def test_the_footers_sums_are_those_of_the_segments(archive: Archive) -> None:
    footer = read_footer(archive.data()[-FOOTER_SIZE:])
    assert footer.segments == len(archive.segments)
    assert footer.members == sum(segment.members for segment in archive.segments)
    assert footer.raw_length == len(gzip.decompress(archive.data()))


def test_the_pieces_of_a_large_file_are_listed_with_their_place_in_it(archive: Archive) -> None:
    pieces = [(m.path, m.offset, m.size) for _, m in archive.members() if m.type == PIECE]
    large = b"entry/large"
    assert pieces == [(large, 0, SEGMENT), (large, SEGMENT, SEGMENT), (large, 2 * SEGMENT, 100)]


def test_a_record_has_what_is_needed_to_see_a_change(archive: Archive) -> None:
    member = next(m for _, m in archive.members() if m.path == b"entry/sub/7")
    status = (archive.path.parent / "entry/sub/7").stat()
    assert (member.size, member.mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert (member.ctime_ns, member.inode) == (status.st_ctime_ns, status.st_ino)


@pytest.mark.parametrize(("mtime_ns", "recorded"), [(1 << 70, 2**63 - 1), (-(1 << 70), 1 - 2**63), (-1, -1)])
def test_a_time_beyond_64_bits_is_recorded_as_the_nearest_within(mtime_ns: int, recorded: int) -> None:
    record = member_record(b"x", META._replace(mtime_ns=mtime_ns), b"", 0)
    segment = Segment(0, 0, 0, bytes(32), 1, pack_records([record]))
    assert [member.mtime_ns for member in segment.listing()] == [recorded]


def test_a_file_of_the_far_future_does_not_stop_a_backup(tmp_path: Path) -> None:
    build(tmp_path, ENTRY, File(1, 0, Attributes(mtime_ns=(1 << 63) + 7)))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    assert [member.path for _, member in archive.members()] == [ENTRY]


@given(counts=st.lists(st.integers(0, 200_000), max_size=8), is_incomplete=st.booleans())
def test_an_index_of_any_length_is_read_back(counts: list[int], is_incomplete: bool) -> None:
    segments = [Segment(number, 1, 2, bytes(32), 3, bytes(count)) for number, count in enumerate(counts)]
    writer = IndexWriter()
    parts = [writer.add(segment) for segment in segments]
    data = b"".join([*parts, writer.finish(77, is_incomplete=is_incomplete)])
    footer = read_footer(data[-FOOTER_SIZE:])
    assert (footer.segments, footer.is_incomplete) == (len(segments), is_incomplete)
    assert list(read_index(footer, data[:-FOOTER_SIZE])) == segments
    assert gzip.decompress(data) == b""


def test_the_writer_never_holds_more_than_one_members_payload() -> None:
    writer = IndexWriter()
    writer.add(Segment(0, 0, 0, bytes(32), 0, bytes(10 * EXTRA_LIMIT)))
    assert len(writer.finish(0)) < 2 * EXTRA_LIMIT


def spoilt(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with one bit flipped, or cut at either end."""
    position = draw(st.integers(0, len(data) - 1))
    bit = bytes([data[position] ^ 1 << draw(st.integers(0, 7))])
    flipped = data[:position] + bit + data[position + 1 :]
    return draw(st.sampled_from([flipped, data[:position], data[position + 1 :]]))


@given(data=st.data())
def test_a_footer_with_a_bit_flipped_or_a_byte_missing_is_refused(archive: Archive, data: st.DataObject) -> None:
    footer = archive.data()[-FOOTER_SIZE:]
    broken = data.draw(st.composite(spoilt)(footer))
    with pytest.raises(ValueError, match=r"no index|footer|newer"):
        read_footer(broken)


@given(data=st.data())
def test_an_index_with_a_bit_flipped_or_a_byte_missing_is_refused(archive: Archive, data: st.DataObject) -> None:
    footer = read_footer(archive.data()[-FOOTER_SIZE:])
    index = archive.data()[footer.index_offset : -FOOTER_SIZE]
    broken = data.draw(st.composite(spoilt)(index))
    with pytest.raises(ValueError, match="its checksum differs"):
        list(read_index(footer, broken))


@given(data=st.data())
def test_an_index_that_is_wrong_under_a_right_checksum_is_a_value_error_or_harmless(
    archive: Archive, data: st.DataObject
) -> None:
    footer = read_footer(archive.data()[-FOOTER_SIZE:])
    broken = data.draw(st.composite(spoilt)(archive.data()[footer.index_offset : -FOOTER_SIZE]))
    footer = footer._replace(index_length=len(broken), index_crc=zlib.crc32(broken))
    try:
        read = [list(segment.listing()) for segment in read_index(footer, broken)]
    except ValueError:
        read = []
    assert len(read) <= footer.segments


def test_a_segment_longer_than_memory_is_a_damaged_index() -> None:
    with pytest.raises(ValueError, match="the index is damaged"):
        list(Segment(0, 1, 2**64 - 1, bytes(32), 0, pack_records([b"record"])).listing())


@given(tail=st.binary(max_size=2 * FOOTER_SIZE))
def test_any_other_bytes_are_no_footer(tail: bytes) -> None:
    with pytest.raises(ValueError, match="no index"):
        read_footer(tail)


@pytest.mark.parametrize("length", range(FOOTER_SIZE))
def test_a_cut_archive_is_not_taken_for_a_whole_one(archive: Archive, length: int) -> None:
    with pytest.raises(ValueError, match="no index"):
        read_footer(archive.data()[: -1 - length][-FOOTER_SIZE:])


def test_an_index_of_a_later_format_says_that_a_newer_program_is_needed() -> None:
    payload = struct.pack("<12sH", b"async-backup", 2).ljust(FOOTER_SIZE - EXTRA_OVERHEAD, b"\0")
    with pytest.raises(ValueError, match="format 2, this program reads 1"):
        read_footer(extra_member(FOOTER_TAG, payload))
