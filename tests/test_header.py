"""Headers, field by field: read back by Python's tarfile, and compared with POSIX where that is lenient."""

from __future__ import annotations

import io
import os
import pwd
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.header import BLOCK_SIZE, END_OF_ARCHIVE, header, padding
from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY, FIFO, HARD_LINK, REGULAR, SYMLINK, Meta, meta_of
from tests.trees import SECOND, names, times

PLAIN = Meta(REGULAR, 0o644, 1234, 1234, 0, 1_700_000_000 * SECOND, 0, 0, 0, 0)


def read_back(blocks: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(blocks + END_OF_ARCHIVE), encoding="utf-8", errors="surrogateescape") as tar:
        return tar.getmembers()[0]


def paths() -> st.SearchStrategy[bytes]:
    return st.lists(names(), min_size=1, max_size=8).map(b"/".join)


@given(path=paths(), kind=st.sampled_from([REGULAR, DIRECTORY, FIFO]))
def test_any_path_is_read_back(path: bytes, kind: bytes) -> None:
    assert os.fsencode(read_back(header(path, PLAIN._replace(type=kind))).name) == path


@given(path=names(), link=st.binary(min_size=1, max_size=5000), kind=st.sampled_from([SYMLINK, HARD_LINK]))
def test_any_link_is_read_back(path: bytes, link: bytes, kind: bytes) -> None:
    link = link.replace(b"\0", b"0")
    found = read_back(header(path, PLAIN._replace(type=kind), link))
    assert (os.fsencode(found.name), os.fsencode(found.linkname)) == (path, link)


@given(
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    gid=st.integers(0, 2**32 - 2),
    size=st.one_of(st.just(0), st.integers(8 * 2**30 - 1, 2**62)),
)
def test_numbers_of_any_size_are_read_back(mode: int, uid: int, gid: int, size: int) -> None:
    blocks = header(b"x", PLAIN._replace(mode=mode, uid=uid, gid=gid, size=size))
    with tarfile.open(fileobj=io.BytesIO(blocks), mode="r|") as tar:
        found = tar.next()
    assert found is not None
    assert (found.mode, found.uid, found.gid, found.size) == (mode, uid, gid, size)


@given(mtime_ns=times())
def test_any_time_is_read_back_to_the_precision_of_a_float(mtime_ns: int) -> None:
    assert read_back(header(b"x", PLAIN._replace(mtime_ns=mtime_ns))).mtime == mtime_ns / SECOND


@pytest.mark.parametrize(
    ("mtime_ns", "record"),
    [
        (-5 * SECOND - SECOND // 4, b"22 mtime=-5.250000000\n"),
        (-5 * SECOND, b"12 mtime=-5\n"),
        (-1, b"22 mtime=-0.000000001\n"),
        (1, b"21 mtime=0.000000001\n"),
        (0o100000000000 * SECOND, b"20 mtime=8589934592\n"),
    ],
)
def test_a_time_that_ustar_cannot_hold_stands_in_decimal_in_a_pax_record(mtime_ns: int, record: bytes) -> None:
    blocks = header(b"x", PLAIN._replace(mtime_ns=mtime_ns))
    assert blocks[BLOCK_SIZE:].startswith(record + b"\0")


@pytest.mark.parametrize("mtime_ns", [0, 1_700_000_000 * SECOND, 0o77777777777 * SECOND])
def test_whole_seconds_that_fit_cost_one_block(mtime_ns: int) -> None:
    assert len(header(b"x", PLAIN._replace(mtime_ns=mtime_ns))) == BLOCK_SIZE


@pytest.mark.parametrize(
    ("path", "blocks"),
    [
        (b"n" * 100, 1),
        (b"\xff" * 100, 1),
        (b"d" * 155 + b"/" + b"n" * 100, 1),
        (b"d/" * 60 + b"n", 1),
        (b"n" * 101, 3),
        (b"d" * 156 + b"/n", 3),
        (b"\xff" * 101, 3),
        ("é".encode(), 3),
    ],
)
def test_a_path_takes_further_blocks_only_where_ustar_has_no_room(path: bytes, blocks: int) -> None:
    assert len(header(path, PLAIN)) == blocks * BLOCK_SIZE


def test_a_directory_that_fits_with_its_slash_takes_one_block() -> None:
    path = b"d" * 50 + b"/" + b"e" * 60
    blocks = header(path, PLAIN._replace(type=DIRECTORY))
    assert (len(blocks), os.fsencode(read_back(blocks).name)) == (BLOCK_SIZE, path)


def test_what_is_left_of_a_cut_path_in_ustars_field_is_not_a_directorys_name() -> None:
    block = header(b"d" * 99 + b"/" + b"f" * 120, PLAIN)[-BLOCK_SIZE:]
    assert block[:100].rstrip(b"\0") == b"d" * 99


def test_only_a_name_that_busybox_refuses_in_gnus_header_is_marked_as_binary() -> None:
    longest = header(b"l", PLAIN._replace(type=SYMLINK), b"\xff" * 4094)
    longer = header(b"l", PLAIN._replace(type=SYMLINK), b"\xff" * 4095)
    assert (b"hdrcharset" in longest, b"hdrcharset=BINARY" in longer) == (False, True)


@given(path=paths(), mtime_ns=times())
def test_every_header_has_the_checksum_of_posix(path: bytes, mtime_ns: int) -> None:
    block = header(path, PLAIN._replace(mtime_ns=mtime_ns))[-BLOCK_SIZE:]
    assert int(block[148:154], 8) == sum(block[:148]) + sum(b" " * 8) + sum(block[156:])


@pytest.mark.parametrize("kind", [CHARACTER, BLOCK])
@given(major=st.integers(0, 4095), minor=st.integers(0, (1 << 20) - 1))
def test_the_numbers_of_a_device_are_read_back(kind: bytes, major: int, minor: int) -> None:
    found = read_back(header(b"x", PLAIN._replace(type=kind, rdev=os.makedev(major, minor))))
    assert (found.devmajor, found.devminor) == (major, minor)


@pytest.mark.parametrize(
    ("uid", "name"), list(enumerate(["u", "u" * 31, "u" * 32, "u" * 200, "ünal", "\udcff"], 1_234_567))
)
def test_the_owners_name_is_read_back(monkeypatch: pytest.MonkeyPatch, uid: int, name: str) -> None:
    monkeypatch.setattr("pwd.getpwuid", lambda uid: pwd.struct_passwd((name, "x", uid, uid, "", "/", "/bin/sh")))
    found = read_back(header(b"x", PLAIN._replace(uid=uid)))
    assert (found.uname, found.uid) == (name, uid)


def test_an_owner_without_a_name_keeps_the_number() -> None:
    found = read_back(header(b"x", PLAIN._replace(uid=3_999_999_999)))
    assert (found.uname, found.uid) == ("", 3_999_999_999)


@given(size=st.integers(0, 10_000))
def test_padding_fills_whole_blocks_and_never_a_block_more(size: int) -> None:
    filled = size + len(padding(size))
    assert (filled % BLOCK_SIZE, filled - size < BLOCK_SIZE) == (0, True)


def test_a_socket_has_no_header() -> None:
    assert meta_of(os.stat_result((stat.S_IFSOCK, *[0] * 18))) is None
