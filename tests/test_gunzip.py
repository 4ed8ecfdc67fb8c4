"""Gzip members come out as one stream, and damage in any of them is told, once and for ever."""

from __future__ import annotations

import gzip
import io
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.unpack.gunzip import CutGzip, DamagedGzip, Gunzip

contents = st.lists(
    st.one_of(st.binary(max_size=300), st.builds(bytes, st.integers(0, 300_000))), min_size=1, max_size=4
)


def gunzip(data: bytes) -> Gunzip:
    return Gunzip(io.BufferedReader(io.BytesIO(data)))


def read_all(source: Gunzip, step: int) -> bytes:
    parts = []
    while part := source.read(step):
        parts.append(part)
        assert len(part) <= step
    return b"".join(parts)


@given(contents=contents, level=st.integers(0, 9), step=st.integers(1000, 70_000), padding=st.sampled_from([0, 1, 512]))
def test_members_one_after_another_are_one_stream(contents: list[bytes], level: int, step: int, padding: int) -> None:
    source = gunzip(b"".join(gzip.compress(content, level) for content in contents) + bytes(padding))
    assert read_all(source, step) == b"".join(contents)
    assert source.verified == sum(map(len, contents))


@given(contents=contents, cut=st.integers(1, 20), step=st.integers(1000, 70_000))
def test_a_cut_stream_gives_no_more_than_it_holds_and_is_an_error(contents: list[bytes], cut: int, step: int) -> None:
    data = b"".join(map(gzip.compress, contents))
    last = len(gzip.compress(contents[-1]))
    source = gunzip(data[: -min(cut, last - 1)])
    with pytest.raises(CutGzip):
        read_all(source, step)
    assert source.verified == sum(map(len, contents[:-1]))


def test_damage_is_told_whenever_it_is_asked_for() -> None:
    content = Random(1).randbytes(5000)
    first, second = gzip.compress(content), bytearray(gzip.compress(content))
    second[1000] ^= 1
    source = gunzip(first + bytes(second))
    assert source.read(5000) == content
    for _ in range(3):
        with pytest.raises(DamagedGzip):
            source.read(5001)
    assert source.verified == 5000


@pytest.mark.parametrize("data", [b"plain text", b"\x1f\x8b\x08", zlib.compress(b"x"), b"\0" * 512])
def test_what_is_not_gzip_is_an_error(data: bytes) -> None:
    with pytest.raises(DamagedGzip):
        gunzip(data).read(1)


def test_nothing_is_nothing() -> None:
    assert gunzip(b"").read(10) == b""


def test_more_than_zeros_behind_the_last_member_is_an_error() -> None:
    source = gunzip(gzip.compress(b"content") + b"\0\0garbage")
    assert source.read(7) == b"content"
    with pytest.raises(DamagedGzip):
        source.read(1)
