"""How many channels are suggested for a round trip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.config import Limits
from async_backup.doctor.sizing import TARGET, most_rate, suggest


@pytest.mark.parametrize(
    ("round_trip", "sizing"),
    [
        (0.0002, (4, 2)),
        (0.02, (4, 2)),
        (0.1, (4, 2)),
        (0.2, (4, 3)),
        (0.5, (8, 4)),
    ],
)
def test_what_is_suggested_beside_the_defaults(round_trip: float, sizing: tuple[int, int]) -> None:
    assert suggest(round_trip, 4, 2) == sizing


@given(st.floats(0, 1.0), st.integers(1, 16), st.integers(1, 4))
def test_what_is_suggested_fills_the_line_or_is_the_most_that_is_sensible(
    round_trip: float, connections: int, channels: int
) -> None:
    sizing = suggest(round_trip, connections, channels)
    Limits(connections=sizing.connections, channels=sizing.channels)
    assert sizing.connections >= connections
    assert sizing.channels >= channels
    fills = most_rate(round_trip, sizing.connections * sizing.channels) >= TARGET
    assert fills or (sizing.connections, sizing.channels) == (16, 4)
