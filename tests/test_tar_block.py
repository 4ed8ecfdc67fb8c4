"""Header blocks as POSIX defines them, as GNU tar and old tars write them, and as none should be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.header import BLOCK_SIZE, padding
from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY, FIFO, HARD_LINK, REGULAR, SYMLINK
from async_backup.archive.tar import DamagedTar
from tests.tar_blocks import GNU, POSIX, V7, block, helper, only, pax, read_all
from tests.trees import SECOND


@pytest.mark.parametrize("kind", [b"7", b"\0", b"Z", b"8", b"\xff"])
def test_unknown_types_are_regular_files(kind: bytes) -> None:
    [(member, data), _] = read_all(block(kind=kind, size=b"3") + b"abc" + padding(3) + block(b"after"))
    assert (member.type, data) == (REGULAR, b"abc")


@pytest.mark.parametrize("magic", [V7, POSIX, GNU])
@pytest.mark.parametrize("kind", [REGULAR, b"\0"])
def test_a_regular_file_with_a_slash_at_its_end_is_a_directory(magic: bytes, kind: bytes) -> None:
    member = only(block(b"d/", kind=kind, magic=magic))
    assert (member.path, member.type) == (b"d", DIRECTORY)


def test_v7_has_no_names_of_owners_and_only_posix_has_a_prefix() -> None:
    found = [only(block(magic=magic, prefix=b"p")) for magic in (V7, GNU, POSIX)]
    assert [(member.path, member.user) for member in found] == [(b"x", b""), (b"x", b"user"), (b"p/x", b"user")]


@pytest.mark.parametrize("kind", [HARD_LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO])
def test_only_regular_files_have_a_payload_whatever_the_size_says(kind: bytes) -> None:
    found = [member for member, _ in read_all(block(kind=kind, size=b"1000") + block(b"after"))]
    assert [(member.path, member.size) for member in found] == [(b"x", 0), (b"after", 0)]


def test_the_list_of_names_in_a_directory_of_gnu_tars_dumps_is_passed_over() -> None:
    [(member, data), (after, _)] = read_all(block(b"d/", kind=b"D", size=b"4") + b"Ya\0\0" + bytes(508) + block())
    assert (member.path, member.type, member.size, data, after.path) == (b"d", DIRECTORY, 0, b"", b"x")


def test_a_volume_that_goes_on_from_another_is_told_as_such() -> None:
    for archive in (helper(b"M", b"") + block(), pax((b"GNU.volume.filename", b"x"), kind=b"g") + block()):
        with pytest.raises(DamagedTar, match="at byte 0: the archive has several volumes"):
            read_all(archive)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"644", 0o644),
        (b"0000644 ", 0o644),
        (b"  644 \0", 0o644),
        (b"", 0),
        (b"        ", 0),
        (b"\x80\0\0\0\0\0\x01\xa4", 0o644),
    ],
)
def test_numbers_in_all_their_spellings(field: bytes, value: int) -> None:
    assert only(block(mode=field, uid=field)).uid == value


def test_the_type_of_file_in_a_mode_is_not_a_permission() -> None:
    assert only(block(mode=b"100644")).mode == 0o644


@pytest.mark.parametrize(
    "numbers",
    [
        {"uid": b"8"},
        {"uid": b"-1"},
        {"uid": b"0o17"},
        {"uid": b"1_7"},
        {"uid": b"+7"},
        {"uid": b"1 7"},
        {"gid": b"\xff" * 8},
        {"gid": b"\x80\0\0\x01\0\0\0\0"},
        {"size": b"\xff" * 12},
        {"size": b"\x80\xff" + bytes(10)},
        {"size": b"\x81" + bytes(11)},
        {"mtime": b"\x80\xff" + bytes(10)},
        {"kind": BLOCK, "devices": (b"x", b"0")},
        {"kind": BLOCK, "devices": (b"0", b"\xff" * 8)},
        {"kind": b"x", "size": b"-5"},
        {"kind": b"L", "size": b"77777777777"},
    ],
)
def test_numbers_that_are_none_or_out_of_range_are_damage(numbers: dict[str, bytes]) -> None:
    with pytest.raises(DamagedTar, match="at byte 0: "):
        read_all(block(**numbers))  # type: ignore[arg-type]


def test_a_time_before_1970_in_gnu_tars_binary_numbers() -> None:
    assert only(block(mtime=(-5).to_bytes(12, "big", signed=True))).mtime_ns == -5 * SECOND


def test_a_checksum_of_signed_bytes_is_one() -> None:
    header_block = block(b"\xff\xff")
    total = sum(header_block[:148]) + sum(header_block[156:]) + 8 * 0x20 - 2 * 256
    assert only(header_block[:148] + b"%07o\0" % total + header_block[156:]).path == b"\xff\xff"


@given(at=st.integers(0, BLOCK_SIZE - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_in_a_header_passes_the_checksum(at: int, bit: int) -> None:
    flipped = bytearray(block(b"name", uid=b"1000"))
    flipped[at] ^= 1 << bit
    if 148 <= at < 156:
        return
    with pytest.raises(DamagedTar, match="checksum"):
        read_all(bytes(flipped))
