"""Lengths of time on the command line."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.durations import parse_seconds
from async_backup.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("45", 45), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400), (" 1m1s ", 61)],
)
def test_a_length_of_time_is_given_in_units_or_in_seconds(text: str, seconds: int) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "m", "10 m", "-5", "1.5h", "5m2h", "10min", "٣m", "1y", "1e3", "9" * 30])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(SettingsError, match="such as 90s, 10m or 1h30m"):
        parse_seconds(text)


@given(st.text(max_size=12))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(SettingsError):
        assert parse_seconds(text) >= 0
