"""Reading tar: what our headers say comes back, and an archive ends where it ends."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.header import BLOCK_SIZE, END_OF_ARCHIVE, header, padding
from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY, FIFO, HARD_LINK, REGULAR, SYMLINK, Meta
from async_backup.archive.tar import Buffer, DamagedTar, TarReader
from tests.tar_blocks import PLAIN, block, helper, only, pax, read_all
from tests.trees import names, times


def paths() -> st.SearchStrategy[bytes]:
    return st.lists(names(), min_size=1, max_size=8).map(b"/".join)


def metas() -> st.SearchStrategy[Meta]:
    ids = st.integers(0, 2**32 - 2)
    kinds = st.sampled_from([REGULAR, DIRECTORY, FIFO])
    return st.builds(PLAIN._replace, type=kinds, mode=st.integers(0, 0o7777), uid=ids, gid=ids, mtime_ns=times())


@given(path=paths(), meta=metas(), data=st.binary(max_size=2000))
def test_what_a_header_says_is_read_back(path: bytes, meta: Meta, data: bytes) -> None:
    data = data if meta.type == REGULAR else b""
    meta = meta._replace(size=len(data))
    [(member, payload)] = read_all(header(path, meta) + data + padding(len(data)) + END_OF_ARCHIVE)
    found = (member.path, member.type, member.mode, member.uid, member.gid, member.size, member.mtime_ns, payload)
    assert found == (path, *meta[:6], data)


@given(path=paths(), link=st.binary(min_size=1, max_size=5000), kind=st.sampled_from([SYMLINK, HARD_LINK]))
def test_a_link_is_read_back(path: bytes, link: bytes, kind: bytes) -> None:
    link = link.replace(b"\0", b"0")
    member = only(header(path, PLAIN._replace(type=kind), link))
    assert (member.path, member.type, member.link) == (path, kind, link)


@pytest.mark.parametrize("kind", [CHARACTER, BLOCK])
@given(major=st.integers(0, 4095), minor=st.integers(0, (1 << 20) - 1))
def test_a_device_is_read_back(kind: bytes, major: int, minor: int) -> None:
    rdev = os.makedev(major, minor)
    member = only(header(b"x", PLAIN._replace(type=kind, rdev=rdev)))
    assert (member.type, member.rdev) == (kind, rdev)


@given(size=st.integers(8 * 2**30 - 1, 2**62))
def test_a_size_beyond_what_ustar_holds_is_read_back(size: int) -> None:
    assert only(header(b"x", PLAIN._replace(size=size))).size == size


def test_the_owners_names_are_read() -> None:
    member = only(block())
    assert (member.user, member.group) == (b"user", b"group")


@given(st.lists(st.tuples(paths(), st.binary(max_size=1500), times()), max_size=6), st.integers(1, 700))
def test_a_payload_is_the_same_at_once_in_pieces_or_half_of_it(
    files: list[tuple[bytes, bytes, int]], step: int
) -> None:
    archive = b""
    for path, data, mtime_ns in files:
        archive += header(path, PLAIN._replace(size=len(data), mtime_ns=mtime_ns)) + data + padding(len(data))
    at_once = [(member.path, data) for member, data in read_all(archive)]
    reader, pieces, halves = TarReader(Buffer(archive)), [], TarReader(Buffer(archive))
    while (member := reader.next()) is not None:
        read = list(reader.payload(member, step))
        assert all(0 < len(piece) <= step for piece in read)
        pieces.append((member.path, b"".join(read)))
        half = halves.next()
        assert half == member
        next(halves.payload(half, step), None)
    expected = [(path, data) for path, data, _ in files]
    assert (at_once, pieces, halves.next()) == (expected, expected, None)


def test_what_is_left_after_some_pieces_can_be_taken_at_once() -> None:
    reader = TarReader(Buffer(block(size=b"1000") + b"a" * 512 + padding(512)))
    member = reader.next()
    assert member is not None
    assert (next(reader.payload(member, 500)), reader.take(member)) == (b"a" * 500, b"a" * 12)


def test_a_payload_can_only_be_read_while_the_reader_stands_at_it() -> None:
    reader = TarReader(Buffer(block(b"a") + block(b"b")))
    first = reader.next()
    assert first is not None
    reader.next()
    with pytest.raises(RuntimeError):
        reader.take(first)


def test_a_member_begins_with_the_headers_that_belong_to_it() -> None:
    label, common = helper(b"V", b""), pax((b"comment", b"of the archive"), kind=b"g")
    archive = label + common + helper(b"L", b"long\0") + pax((b"uid", b"5")) + block() + block(b"y")
    offsets = [member.offset for member, _ in read_all(archive)]
    assert offsets == [len(label + common), len(archive) - BLOCK_SIZE]


def end_of(archive: bytes) -> tuple[int, bool]:
    """How many members it has, and whether its end was seen."""
    reader = TarReader(Buffer(archive))
    members = 0
    while reader.next() is not None:
        members += 1
    assert reader.next() is None
    return members, reader.is_complete


@pytest.mark.parametrize(
    ("end", "is_complete"),
    [(b"", False), (bytes(BLOCK_SIZE), False), (END_OF_ARCHIVE, True), (END_OF_ARCHIVE + b"whatever follows", True)],
)
def test_two_zero_blocks_and_nothing_less_make_an_archive_complete(end: bytes, is_complete: bool) -> None:
    assert end_of(block() + end) == (1, is_complete)


def test_an_archive_of_nothing_but_a_global_header_has_no_members() -> None:
    assert end_of(pax((b"comment", b"0123"), kind=b"g") + END_OF_ARCHIVE) == (0, True)


def test_a_segment_may_end_with_the_header_of_a_file_whose_payload_stands_in_later_ones() -> None:
    assert end_of(block() + header(b"large", PLAIN._replace(size=1 << 30, mtime_ns=1))) == (2, False)


@pytest.mark.parametrize("there", [1, 512, 999, 1000, 1023])
def test_a_payload_that_is_only_begun_is_damage(there: int) -> None:
    archive = block(size=b"%o" % 1000) + b"a" * there
    reader = TarReader(Buffer(archive))
    reader.next()
    with pytest.raises(DamagedTar, match=f"byte {len(archive)}: .* {1024 - there} bytes"):
        reader.next()


@pytest.mark.parametrize("there", [0, 1, 999])
def test_a_payload_that_is_asked_for_has_to_be_there(there: int) -> None:
    archive = block(size=b"%o" % 1000) + b"a" * there
    reader = TarReader(Buffer(archive))
    member = reader.next()
    assert member is not None
    with pytest.raises(DamagedTar):
        b"".join(reader.payload(member, 300))
    with pytest.raises(DamagedTar):
        reader.take(member)


@pytest.mark.parametrize("size", [1, 511, 512, 1023, 1024, 1535])
def test_a_stream_that_ends_inside_the_headers_of_a_member_is_damage(size: int) -> None:
    whole = pax((b"mtime", b"5.5")) + block()
    with pytest.raises(DamagedTar, match="at byte 512: the stream ends"):
        read_all(block(b"before") + whole[:size])


def test_a_block_of_zeros_between_members_is_damage() -> None:
    with pytest.raises(DamagedTar, match=r"at byte 512: .* zeros"):
        read_all(block() + bytes(BLOCK_SIZE) + block())
