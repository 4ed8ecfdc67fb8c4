"""How far a run is and how long it takes: told as soon as it is known, and not before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.last_run import LastEntry, LastSizes
from async_backup.ui.estimate import Estimate, Rate, about
from async_backup.ui.rows import Part, bar, column, percent, row
from async_backup.ui.under_way import Pulse, stalled

MB = 1_000_000
LAST = LastSizes({b"/a": LastEntry(100 * MB, 1.0), b"/b": LastEntry(300 * MB, 1.0)})


def listed(last: LastSizes, *places: bytes) -> Estimate:
    estimate = Estimate(last)
    for place in places:
        estimate.add(place)
    estimate.all_listed()
    return estimate


def read(estimate: Estimate, place: bytes, upto: int, *, rate: int, begin: float = 0.0) -> float:
    """Progress at an even rate; returns the time of the end."""
    seconds = 0
    while seconds * rate <= upto:
        estimate.progress(place, seconds * rate, begin + seconds)
        seconds += 1
    return begin + seconds - 1


def test_the_time_left_comes_from_the_last_sizes_and_the_rate_of_now() -> None:
    estimate = listed(LAST, b"/a", b"/b")
    now = read(estimate, b"/a", 80 * MB, rate=4 * MB)
    outlook = estimate.at(now)
    assert outlook.fraction == pytest.approx(80 / 400)
    assert outlook.seconds_left == pytest.approx(320 / 4)


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    estimate = listed(LAST, b"/a", b"/b")
    now = read(estimate, b"/a", 100 * MB, rate=10 * MB)
    now = read(estimate, b"/b", 80 * MB, rate=2 * MB, begin=now)
    assert estimate.at(now).seconds_left == pytest.approx(220 / 2)


def test_nothing_is_told_before_all_entries_are_listed() -> None:
    estimate = Estimate(LAST)
    now = read(estimate, b"/a", 80 * MB, rate=4 * MB)
    assert estimate.at(now) == estimate.at(now)
    assert estimate.at(now).fraction is None
    estimate.all_listed()
    assert estimate.at(now).fraction == pytest.approx(0.8)


def test_an_unknown_entry_is_waited_for_while_it_is_counted() -> None:
    estimate = listed(LAST, b"/a", b"/new")
    assert estimate.at(0.0).fraction is None
    estimate.add(b"/new", 100 * MB)
    assert read(estimate, b"/a", 100 * MB, rate=10 * MB) == 10.0
    assert estimate.at(10.0).fraction == pytest.approx(0.5)


def test_what_was_not_counted_is_taken_for_the_median() -> None:
    estimate = listed(LAST, b"/a", b"/new")
    estimate.all_counted()
    assert estimate.size(b"/new") == 200 * MB
    read(estimate, b"/a", 100 * MB, rate=10 * MB)
    assert estimate.at(10.0).fraction == pytest.approx(100 / 300)


def test_without_anything_known_a_few_entries_have_to_end_first() -> None:
    estimate = listed(LastSizes(), *(b"/%d" % number for number in range(6)))
    estimate.all_counted()
    for number in range(2):
        estimate.end(b"/%d" % number, 10 * MB, float(number))
    assert estimate.at(2.0).fraction is None
    estimate.end(b"/2", 10 * MB, 3.0)
    assert estimate.at(3.0).fraction == pytest.approx(0.5)


def test_no_time_is_told_before_there_was_time_to_measure() -> None:
    estimate = listed(LAST, b"/a")
    now = read(estimate, b"/a", 12 * MB, rate=4 * MB)
    assert estimate.at(now).seconds_left is None


def test_where_nothing_moves_no_time_is_told() -> None:
    estimate = listed(LAST, b"/a", b"/b")
    now = read(estimate, b"/a", 80 * MB, rate=4 * MB)
    assert estimate.at(now + 60).seconds_left is None
    assert estimate.at(now + 60).fraction == pytest.approx(0.2)


def test_an_entry_that_grew_leaves_nothing_negative() -> None:
    estimate = listed(LAST, b"/a")
    now = read(estimate, b"/a", 250 * MB, rate=10 * MB)
    outlook = estimate.at(now)
    assert (outlook.fraction, outlook.seconds_left) == (1.0, 0.0)
    assert percent(1.0) == "99 %"


def test_an_entry_that_failed_is_no_longer_waited_for() -> None:
    estimate = listed(LAST, b"/a", b"/b")
    estimate.end(b"/b", None, 0.0)
    read(estimate, b"/a", 50 * MB, rate=10 * MB)
    assert estimate.at(5.0).seconds_left == pytest.approx(5.0)
    assert (estimate.ended, estimate.found) == (1, 2)


def test_an_attempt_that_begins_anew_takes_back_what_was_done_but_not_the_rate() -> None:
    estimate = listed(LAST, b"/a")
    now = read(estimate, b"/a", 80 * MB, rate=8 * MB)
    estimate.progress(b"/a", 0, now)
    outlook = estimate.at(now)
    assert outlook.fraction == 0.0
    assert outlook.seconds_left == pytest.approx(100 / 8)


def test_what_is_heard_of_an_entry_after_its_end_changes_nothing() -> None:
    estimate = listed(LAST, b"/a", b"/b")
    estimate.end(b"/a", 100 * MB, 1.0)
    before = estimate.at(2.0)
    estimate.add(b"/a", 7 * MB)
    estimate.progress(b"/a", 3 * MB, 2.0)
    estimate.end(b"/a", None, 2.0)
    assert estimate.at(2.0) == before


happenings = st.tuples(
    st.sampled_from(["add", "progress", "end", "lose", "listed", "counted"]),
    st.sampled_from([b"/a", b"/b", b"/c", b"/d"]),
    st.none() | st.integers(0, 500 * MB),
    st.floats(0, 40),
)


@given(st.lists(happenings, max_size=60))
def test_whatever_happens_nothing_absurd_is_told(events: list[tuple[str, bytes, int | None, float]]) -> None:
    estimate, now = Estimate(LAST), 0.0
    for what, place, size, seconds in events:
        now += seconds
        match what:
            case "add":
                estimate.add(place, size)
            case "progress":
                estimate.progress(place, size or 0, now)
            case "end":
                estimate.end(place, size or 0, now)
            case "lose":
                estimate.end(place, None, now)
            case "listed":
                estimate.all_listed()
            case _:
                estimate.all_counted()
        outlook = estimate.at(now)
        assert outlook.fraction is None or 0 <= outlook.fraction <= 1
        assert outlook.seconds_left is None or 0 <= outlook.seconds_left < 30 * 86_400
        assert estimate.ended <= estimate.found


def test_a_rate_without_movement_is_nothing() -> None:
    rate = Rate()
    assert (rate.at(5.0), rate.age(5.0)) == (0.0, 0.0)
    rate.add(5.0, 10)
    assert rate.at(5.0) == 0.0
    assert rate.at(10.0) == pytest.approx(2.0)


def test_a_time_is_told_no_more_exactly_than_it_is_known() -> None:
    assert [about(seconds) for seconds in (0, 49, 50, 90, 185, 3500)] == [
        "less than a minute",
        "less than a minute",
        "about 1 min",
        "about 2 min",
        "about 3 min",
        "about 58 min",
    ]
    assert [about(hours * 3600) for hours in (1, 2.55, 11.2, 70)] == [
        "about 1 h 00 min",
        "about 2 h 30 min",
        "about 11 h",
        "about 3 days",
    ]


def test_ten_seconds_without_movement_are_a_stall() -> None:
    pulse = Pulse()
    assert pulse.silent_for(100.0) is None
    pulse.beat(0.0)
    assert pulse.silent_for(9.9) is None
    assert pulse.silent_for(14.0) == 14.0
    pulse.beat(14.0)
    assert pulse.silent_for(15.0) is None


def test_a_line_that_takes_its_time_for_each_segment_is_not_stalled() -> None:
    pulse = Pulse()
    for seconds in (0.0, 13.0, 26.0, 39.0):
        pulse.beat(seconds)
    assert pulse.silent_for(39.0 + 13.0) is None
    assert pulse.silent_for(39.0 + 20.0) == 20.0
    assert pulse.silent_for(1000.0) == 961.0


def test_a_stall_is_told_in_words() -> None:
    assert stalled(14.7, "no segment sent") == "stalled 14 s: no segment sent"
    assert stalled(192, "nothing read") == "stalled 3 min 12 s: nothing read"


def test_the_least_important_part_of_a_row_goes_first() -> None:
    parts = [Part("entries"), Part("read", 4), Part("sent", 1), Part("", 0)]
    assert [row(parts, width).plain for width in (40, 19, 18, 8, 3)] == [
        "entries  read  sent",
        "entries  read  sent",
        "entries  sent",
        "entries",
        "ent",
    ]


@given(st.text(max_size=30), st.integers(2, 40))
def test_no_row_is_wider_than_the_terminal(text: str, width: int) -> None:
    assert row([Part(text), Part("x" * 10, 1)], width).cell_len <= width


def test_a_name_takes_the_same_room_in_any_script() -> None:
    assert [column(name, 6) for name in ("ab", "abcdefgh", "漢字漢字")] == ["ab    ", "abcde…", "漢字 …"]


def test_a_bar_is_full_only_at_the_end() -> None:
    assert [bar(fraction, 4) for fraction in (-1.0, 0.5, 0.99, 1.0, 2.0)] == ["────", "━━──", "━━━─", "━━━━", "━━━━"]
    assert [percent(fraction) for fraction in (0.0, 0.426, 0.999)] == [" 0 %", "42 %", "99 %"]
