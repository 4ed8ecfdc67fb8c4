"""What is left of a damaged segment: all that stands before the damage, and never more than the segment held."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.gzip import compress_member
from async_backup.archive.unpack import salvaged

TEXT = b" ".join(Random(1).choices([b"one", b"two", b"three", b"a\nlonger one"], k=20_000))
CONTENTS = {"text": TEXT, "noise": Random(2).randbytes(90_000), "zeros": bytes(90_000), "little": b"x", "nothing": b""}

contents = st.sampled_from(sorted(CONTENTS)).map(CONTENTS.__getitem__)
levels = st.sampled_from([0, 1, 3, 6, 9])


@given(contents, levels)
def test_of_a_whole_one_all_is_left(content: bytes, level: int) -> None:
    assert salvaged(compress_member(content, level), len(content)) == content


@given(contents, levels, st.floats(0, 1))
def test_of_a_cut_one_all_that_tells_of_itself_is_left(content: bytes, level: int, share: float) -> None:
    member = compress_member(content, level)
    found = salvaged(member[: int(len(member) * share)], len(content))
    assert content.startswith(found)


@given(contents, levels, st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_one_wrong_byte_costs_nothing_that_stands_before_it(
    content: bytes, level: int, place: float, value: int
) -> None:
    member = bytearray(compress_member(content, level))
    at = int(len(member) * place)
    before = salvaged(bytes(member[:at]), len(content))
    member[at] ^= value
    found = salvaged(bytes(member), len(content))
    assert len(found) <= len(content)
    assert found.startswith(before)


@given(st.binary(max_size=2000), st.integers(0, 5000))
def test_anything_gives_at_most_as_much_as_was_asked_for(data: bytes, length: int) -> None:
    assert len(salvaged(data, length)) <= length
