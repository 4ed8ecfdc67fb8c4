"""Rates over time: nothing is lost, memory is bounded, and the chart of them has round marks."""

from __future__ import annotations

import itertools
from math import isclose
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.ui.page.chart import chart, rate_scale, time_scale
from async_backup.ui.page.rates import Rate, Rates

MOMENTS = st.lists(
    st.tuples(st.floats(0, 1e7, allow_subnormal=False), st.integers(0, 1 << 40), st.booleans()), max_size=60
)


def counted(moments: list[tuple[float, int, bool]], limit: int) -> tuple[Rates, float]:
    rates = Rates(limit)
    for at, count, is_read in sorted(moments):
        (rates.add_read if is_read else rates.add_sent)(at, count)
    return rates, max((at for at, *_ in moments), default=0.0) + 0.001


@given(MOMENTS, st.integers(2, 50))
def test_every_byte_is_counted_in_a_bounded_number_of_steps(moments: list[tuple[float, int, bool]], limit: int) -> None:
    rates, end = counted(moments, limit)
    steps = rates.until(end)
    assert len(steps) <= limit
    read = sum(step.read * (step.end - step.begin) for step in steps)
    sent = sum(step.sent * (step.end - step.begin) for step in steps)
    assert isclose(read, sum(count for _, count, is_read in moments if is_read), rel_tol=1e-6)
    assert isclose(sent, sum(count for _, count, is_read in moments if not is_read), rel_tol=1e-6)


@given(MOMENTS.filter(bool), st.integers(2, 50))
def test_the_steps_cover_the_time_without_a_gap(moments: list[tuple[float, int, bool]], limit: int) -> None:
    rates, end = counted(moments, limit)
    steps = rates.until(end)
    assert (steps[0].begin, steps[-1].end) == (0, end)
    assert all(one.end == next_.begin for one, next_ in itertools.pairwise(steps))
    assert all(step.end > step.begin for step in steps)


def test_a_pause_is_a_rate_of_nothing() -> None:
    rates = Rates()
    rates.add_read(0.1, 100)
    rates.add_read(1.1, 100)
    assert [step.read for step in rates.until(1.25)] == [400, 0, 0, 0, 400]


def test_a_week_is_as_fine_as_its_steps_allow() -> None:
    rates = Rates(240)
    week = 7 * 86400
    for minute in range(0, week, 60):
        rates.add_read(minute, 60)
    steps = rates.until(week)
    assert 120 <= len(steps) <= 240
    assert all(isclose(step.read, 1, rel_tol=0.05) for step in steps)


def test_where_nothing_was_sent_there_are_no_rates() -> None:
    assert Rates().until(10) == []


@pytest.mark.parametrize(
    ("most", "unit", "marks"),
    [
        (0, "B/s", ["0", "0.5", "1"]),
        (700, "B/s", ["0", "200", "400", "600", "800"]),
        (150 << 20, "MiB/s", ["0", "50", "100", "150"]),
        (1.2 * (1 << 30), "GiB/s", ["0", "0.5", "1", "1.5"]),
    ],
)
def test_rates_have_round_marks_in_their_unit(most: float, unit: str, marks: list[str]) -> None:
    scale = rate_scale(most)
    assert scale.unit == unit
    assert [text for _, text in scale.marks] == marks


@pytest.mark.parametrize(
    ("seconds", "unit", "marks"),
    [
        (1.7, "s", ["0", "0.5", "1", "1.5"]),
        (100, "s", ["0", "20", "40", "60", "80", "100"]),
        (1000, "min", ["0", "5", "10", "15"]),
        (3 * 86400, "days", ["0", "0.5", "1", "1.5", "2", "2.5", "3"]),
    ],
)
def test_times_have_round_marks_in_their_unit(seconds: float, unit: str, marks: list[str]) -> None:
    scale = time_scale(seconds)
    assert scale.unit == unit
    assert [text for _, text in scale.marks] == marks


@given(st.floats(0, 1e15), st.floats(0.001, 1e9))
def test_any_run_has_few_marks_within_its_axes(most: float, seconds: float) -> None:
    up, across = rate_scale(most), time_scale(seconds)
    assert up.top >= most
    for scale in (up, across):
        assert 2 <= len(scale.marks) <= 8
        assert all(at <= scale.top * 1.00001 for at, _ in scale.marks)


def test_the_chart_is_a_drawing_that_tells_its_content_in_words() -> None:
    drawing = ElementTree.fromstring(chart([Rate(0, 1, 1 << 20, 0), Rate(1, 4, 5 << 20, 2 << 20)]))
    words = " ".join(drawing.itertext())
    assert "Read: 4.0 MiB/s on average, 5.0 MiB/s at most." in words
    assert "Sent: 1.5 MiB/s on average, 2.0 MiB/s at most." in words
    assert {"MiB/s", "read", "sent"} <= set(drawing.itertext())
    lines = [path.get("d") for path in drawing.iter("path") if path.get("class") in {"line read", "line sent"}]
    assert len(lines) == 4
    assert "nan" not in " ".join(filter(None, lines))
