"""Names as they are shown, and typed."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.text import shown, unescaped

NAMES = st.binary(max_size=20) | st.text(max_size=12).map(lambda text: text.encode("utf-8", "surrogatepass"))


@given(NAMES)
def test_a_name_typed_as_it_is_shown_is_the_name(name: bytes) -> None:
    told = shown(name)
    if told != os.fsdecode(name):
        assert unescaped(os.fsencode(told)) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (rb"latin\xe9", b"latin\xe9"),
        (rb"a\nb", b"a\nb"),
        (rb"\xff\\nb", b"\xff" + rb"\nb"),
        (rb"a\\nb", rb"a\\nb"),
        (rb"right\u202eleft", "right\u202eleft".encode()),
        (rb"\U000e0001", "\U000e0001".encode()),
        (rb"C:\Users", rb"C:\Users"),
        (rb"\xZZ \U12", rb"\xZZ \U12"),
        (rb"\Uffffffff", rb"\Uffffffff"),
        (b"plain", b"plain"),
        (rb"a\x2db", rb"a\x2db"),
        (rb"half\xe9 \x41", rb"half\xe9 \x41"),
    ],
)
def test_escapes_are_what_they_stand_for_where_a_name_is_shown_with_them(typed: bytes, name: bytes) -> None:
    assert unescaped(typed) == name
