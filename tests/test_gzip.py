"""Gzip members as RFC 1952 has them, judged by Python's and the system's gzip."""

from __future__ import annotations

import gzip
import subprocess
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.archive.gzip import (
    EXTRA_LIMIT,
    EXTRA_OVERHEAD,
    LEAST_PROBED,
    compress_member,
    extra_member,
    read_extra_member,
    seems_dense,
)
from tests.trees import File

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = pytest.mark.parametrize("level", range(10))
TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(20_000))
NOISE = File(1 << 20, seed=1).content()
LONG_NOISE = File(4 << 20, seed=2).content()


@LEVELS
@given(data=st.one_of(st.binary(max_size=5000), st.binary(max_size=50).map(lambda data: data * 100)))
def test_data_comes_back_at_every_level(level: int, data: bytes) -> None:
    assert gzip.decompress(compress_member(data, level)) == data


@LEVELS
def test_the_systems_gzip_finds_no_fault_at_any_level(level: int, tmp_path: Path) -> None:
    members = [compress_member(data, level) for data in (TEXT, b"", NOISE)]
    (tmp_path / "a.gz").write_bytes(b"".join([*members, extra_member(b"AI", b"payload")]))
    done = subprocess.run(["gzip", "-t", tmp_path / "a.gz"], check=True, capture_output=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@LEVELS
def test_data_that_does_not_shrink_grows_by_less_than_a_thousandth(level: int) -> None:
    assert len(compress_member(NOISE, level)) < len(NOISE) * 1.001


def stored_size(data: bytes) -> int:
    """Gzip's own 18 bytes and 5 for each stored block of 65,535, and as much for an empty one at most."""
    return len(data) + 18 + 5 * (len(data) // 65_535 + 2)


@LEVELS
def test_what_does_not_compress_is_stored_at_every_level(level: int) -> None:
    assert seems_dense(NOISE, level)
    assert len(NOISE) < len(compress_member(NOISE, level)) <= stored_size(NOISE)


@pytest.mark.parametrize("level", [1, 6])
def test_what_is_compressed_already_is_stored(level: int) -> None:
    squeezed = compress_member(TEXT * 20, 9)
    assert len(squeezed) > LEAST_PROBED
    assert len(compress_member(squeezed, level)) <= stored_size(squeezed)


def test_what_is_too_short_to_be_probed_is_tried() -> None:
    short = NOISE[: LEAST_PROBED - 1]
    assert not seems_dense(short, 1)
    assert len(compress_member(short, 1)) <= stored_size(short)


@LEVELS
@given(start=st.integers(0, 3 << 20))
@settings(max_examples=20)
def test_64_kib_of_text_anywhere_in_noise_are_not_stored(level: int, start: int) -> None:
    assert not seems_dense((LONG_NOISE[:start] + TEXT[:65_536] + LONG_NOISE[start:])[: 4 << 20], level)


@pytest.mark.parametrize("stretch", [4 << 10, 16 << 10, 64 << 10, 1 << 20])
def test_noise_and_text_in_turns_lose_nothing(stretch: int) -> None:
    mixed = b"".join(LONG_NOISE[start : start + stretch] + (TEXT * 3)[:stretch] for start in range(0, 2 << 20, stretch))
    assert len(compress_member(mixed, 1)) < len(mixed) * 0.7


def test_noise_of_few_values_is_compressed() -> None:
    skewed = LONG_NOISE.translate(bytes(value % 200 for value in range(256)))
    assert len(compress_member(skewed, 1)) < len(skewed) * 0.98


def test_noise_that_repeats_within_the_window_is_compressed() -> None:
    assert len(compress_member(NOISE[:20_000] * 100, 6)) < 100_000


PIECES = st.one_of(
    st.integers(0, 200_000).map(lambda length: NOISE[:length]),
    st.integers(0, 200_000).map(lambda length: TEXT[:length]),
    st.integers(0, 200_000).map(bytes),
    st.binary(max_size=500),
)


@given(level=st.sampled_from([0, 1, 3, 4, 6]), pieces=st.lists(PIECES, max_size=12))
@settings(max_examples=60)
def test_any_mixture_comes_back_and_never_grows_beyond_storing(level: int, pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    member = compress_member(data, level)
    assert gzip.decompress(member) == data
    assert zlib.decompress(member, wbits=31) == data
    assert len(member) <= stored_size(data)
    assert member == compress_member(bytes(bytearray(data)), level)


@pytest.mark.parametrize("level", range(1, 10))
def test_text_shrinks_at_every_level_but_the_lowest(level: int) -> None:
    assert len(compress_member(TEXT, level)) < len(TEXT) / 4


@LEVELS
def test_the_same_data_gives_the_same_bytes(level: int) -> None:
    assert compress_member(TEXT, level) == compress_member(bytes(bytearray(TEXT)), level)


@LEVELS
def test_a_member_says_neither_name_nor_time(level: int) -> None:
    flags, mtime = compress_member(TEXT, level)[3], compress_member(TEXT, level)[4:8]
    assert (flags, mtime) == (0, bytes(4))


@given(payload=st.binary(max_size=3000))
def test_an_extra_member_carries_its_payload_and_decompresses_to_nothing(payload: bytes) -> None:
    member = extra_member(b"AI", payload)
    assert len(member) == len(payload) + EXTRA_OVERHEAD
    assert read_extra_member(b"before" + member, 6, b"AI") == (payload, 6 + len(member))
    assert gzip.decompress(member) == b""


def test_an_extra_member_holds_up_to_its_limit() -> None:
    payload = NOISE[:EXTRA_LIMIT]
    assert read_extra_member(extra_member(b"AI", payload), 0, b"AI")[0] == payload
    assert zlib.decompress(extra_member(b"AI", payload), wbits=31) == b""


@given(data=st.data(), payload=st.binary(max_size=40))
def test_an_extra_member_that_is_cut_or_of_another_tag_is_refused(data: st.DataObject, payload: bytes) -> None:
    member = extra_member(b"AI", payload)
    length = data.draw(st.integers(0, len(member) - 1))
    with pytest.raises(ValueError, match="gzip member"):
        read_extra_member(member[:length], 0, b"AI")
    with pytest.raises(ValueError, match="is not AF"):
        read_extra_member(member, 0, b"AF")
