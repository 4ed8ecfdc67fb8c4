"""What a policy keeps: the semantics that restic documents for `forget`, and what must hold for every policy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.errors import SettingsError
from async_backup.retention import UNLIMITED, Duration, KeepRules, decide, keep_count, parse_duration

if TYPE_CHECKING:
    from random import Random

NOON = datetime(2026, 11, 20, 12)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PERIODS = {"hourly": "%Y-%m-%d %H", "daily": "%Y-%m-%d", "weekly": "%G-%V", "monthly": "%Y-%m", "yearly": "%Y"}
COUNTING = ("last", *PERIODS)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def kept(times: list[datetime], rules: KeepRules) -> list[datetime]:
    return sorted(when for when, reasons in zip(times, decide(times, rules), strict=True) if reasons)


def kept_by(rule: str, times: list[datetime], rules: KeepRules) -> list[datetime]:
    """What a counting rule keeps, the oldest that fills it up included."""
    found = zip(times, decide(times, rules), strict=True)
    return sorted(when for when, reasons in found if {rule, f"oldest {rule}"} & set(reasons))


def keep(rule: str, value: Any, others: KeepRules | None = None) -> KeepRules:
    return replace(others or KeepRules(), **{rule: value})


def counts() -> st.SearchStrategy[int]:
    return st.integers(UNLIMITED, 6)


def durations() -> st.SearchStrategy[Duration]:
    return st.builds(Duration, st.integers(0, 2), st.integers(0, 14), st.integers(0, 40), st.integers(0, 30))


def policies() -> st.SearchStrategy[KeepRules]:
    numbers: dict[str, Any] = {name: st.just(0) | counts() for name in COUNTING}
    rules = st.builds(KeepRules, **numbers, within=st.none() | durations())
    return rules.filter(lambda rules: not rules.is_empty)


def histories() -> st.SearchStrategy[list[datetime]]:
    """Times close together and years apart, in any order, some of them twice."""
    steps = st.integers(0, 150) | st.integers(0, 100_000)
    return st.lists(steps.map(lambda step: datetime(2023, 12, 30) + step * timedelta(minutes=20)), max_size=40)


# What restic documents under "Removing snapshots according to a policy".

SUNDAYS = [at("2019-09-01T11:00") + 7 * number * DAY for number in range(12)]


def test_daily_4_of_twelve_sundays_keeps_the_last_four_sundays() -> None:
    assert kept(SUNDAYS, KeepRules(daily=4)) == [
        at("2019-10-27T11:00"),
        at("2019-11-03T11:00"),
        at("2019-11-10T11:00"),
        at("2019-11-17T11:00"),
    ]


def test_a_hundred_years_of_daily_archives_shrink_to_days_then_weeks_then_months_then_years() -> None:
    times = [at("2019-12-29T20:00") - number * DAY for number in range(36525)]
    days = times[:7]
    sundays = times[7:35:7]
    ends_of_months = [datetime(2019, month, 1, 20) - DAY for month in range(2, 13)]
    ends_of_years = [datetime(year, 12, 31, 20) for year in range(1945, 2019)]
    found = kept(times, KeepRules(daily=7, weekly=5, monthly=12, yearly=75))
    assert found == sorted(days + sundays + ends_of_months + ends_of_years)
    assert len(found) == 7 + 4 + 11 + 74


def test_one_rule_is_enough_to_be_kept_and_all_that_do_are_named() -> None:
    times = [at("2026-11-22T08:00"), at("2026-11-22T09:00"), at("2026-11-21T23:00"), at("2026-11-20T09:00")]
    assert decide(times, KeepRules(last=1, hourly=2, daily=2, weekly=1, within=Duration(days=2))) == [
        ("hourly", "within"),
        ("last", "hourly", "daily", "weekly", "within"),
        ("daily", "within"),
        (),
    ]


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        ("hourly", "2026-11-20T13:59:59", "2026-11-20T14:00:00"),
        ("daily", "2026-11-20T23:59:59", "2026-11-21T00:00:00"),
        ("weekly", "2026-11-22T23:59:59", "2026-11-23T00:00:00"),
        ("weekly", "2026-01-04T23:59:59", "2026-01-05T00:00:00"),
        ("monthly", "2026-11-30T23:59:59", "2026-12-01T00:00:00"),
        ("yearly", "2026-12-31T23:59:59", "2027-01-01T00:00:00"),
    ],
)
def test_periods_end_with_the_calendars_not_with_the_time_of_the_call(rule: str, first: str, second: str) -> None:
    times = [at(first), at(second)]
    assert decide(times, keep(rule, 2)) == [(rule,), (rule,)]


@pytest.mark.parametrize(
    ("rule", "older", "newer"),
    [
        ("hourly", "2026-11-20T14:00:00", "2026-11-20T14:59:59"),
        ("daily", "2026-11-20T00:00:00", "2026-11-20T23:59:59"),
        ("weekly", "2026-11-16T00:00:00", "2026-11-22T23:59:59"),
        ("weekly", "2025-12-29T00:00:00", "2026-01-04T23:59:59"),
        ("monthly", "2026-11-01T00:00:00", "2026-11-30T23:59:59"),
        ("yearly", "2026-01-01T00:00:00", "2026-12-31T23:59:59"),
    ],
)
def test_of_a_period_only_the_newest_is_kept(rule: str, older: str, newer: str) -> None:
    assert decide([at(older), at(newer)], keep(rule, 1)) == [(), (rule,)]


@pytest.mark.parametrize(
    ("rule", "second"),
    [
        ("hourly", "2026-11-19T12:00"),
        ("daily", "2026-10-20T12:00"),
        ("weekly", "2025-11-20T12:00"),
        ("monthly", "2025-11-20T12:00"),
    ],
)
def test_periods_of_the_same_name_in_a_larger_one_are_two(rule: str, second: str) -> None:
    assert decide([NOON, at(second)], keep(rule, 2)) == [(rule,), (rule,)]


def test_periods_without_an_archive_do_not_count() -> None:
    times = [NOON, NOON - 100 * DAY, NOON - 1000 * DAY, NOON - 1001 * DAY]
    assert kept(times, KeepRules(daily=3)) == sorted(times[:3])


@pytest.mark.parametrize("rule", PERIODS)
@pytest.mark.parametrize("count", [2, UNLIMITED])
def test_a_rule_that_is_not_filled_keeps_the_oldest_too(rule: str, count: int) -> None:
    times = [at("2026-11-18T14:30"), at("2026-11-18T14:20"), at("2026-11-18T14:10")]
    assert decide(times, keep(rule, count)) == [(rule,), (), (f"oldest {rule}",)]


@pytest.mark.parametrize("rule", PERIODS)
def test_a_rule_that_is_filled_leaves_the_oldest_alone(rule: str) -> None:
    assert decide([NOON, NOON - timedelta(minutes=10)], keep(rule, 1)) == [(rule,), ()]


def test_a_lone_archive_is_not_named_twice() -> None:
    assert decide([NOON], KeepRules(yearly=5)) == [("yearly",)]


def test_the_first_week_of_a_yearly_policy_keeps_both_ends() -> None:
    times = [NOON - number * DAY for number in range(7)]
    assert kept(times, KeepRules(yearly=3)) == [times[-1], times[0]]


def test_within_counts_back_from_the_latest_archive_and_leaves_its_own_start_out() -> None:
    times = [NOON, NOON - DAY, NOON - 2 * DAY + HOUR, NOON - 2 * DAY, NOON - 3 * DAY]
    assert kept(times, KeepRules(within=Duration(days=2))) == sorted(times[:3])


def test_within_keeps_all_of_a_period_not_one_a_day() -> None:
    times = [NOON - number * HOUR for number in range(24)]
    assert kept(times, KeepRules(within=Duration(days=1))) == sorted(times)


def test_a_time_in_the_future_stays_and_neither_counts_nor_moves_what_within_means() -> None:
    times = [datetime(2099, 1, 1), NOON, NOON - DAY, NOON - 5 * DAY]
    rules = KeepRules(last=1, within=Duration(days=2))
    assert decide(times, rules, now=NOON) == [("future",), ("last", "within"), ("within",), ()]


def test_an_entry_with_nothing_but_times_in_the_future_keeps_them() -> None:
    assert decide([NOON, NOON + DAY], KeepRules(within=Duration(days=1)), now=NOON - DAY) == [("future",)] * 2


def test_an_hour_that_a_change_of_the_clock_repeats_is_one_hour() -> None:
    """Both 02:30 of 2026-10-25 in Europe have the same text, so the same time."""
    twice = [at("2026-10-25T02:30"), at("2026-10-25T02:30").replace(fold=1)]
    assert decide(twice, KeepRules(hourly=1)) == [("hourly",), ()]


# What holds for every policy and every history.


@given(histories(), policies())
def test_the_newest_is_always_kept(times: list[datetime], rules: KeepRules) -> None:
    assert kept(times, rules)[-1:] == sorted(times)[-1:]


@given(histories(), policies(), st.randoms(use_true_random=False))
def test_the_order_of_the_times_does_not_matter(times: list[datetime], rules: KeepRules, random: Random) -> None:
    mixed = random.sample(times, len(times))
    found, found_mixed = (Counter(zip(order, decide(order, rules), strict=True)) for order in (times, mixed))
    assert found == found_mixed


@given(histories(), policies(), st.sampled_from(COUNTING), counts())
def test_raising_a_number_never_lets_go_what_was_kept(
    times: list[datetime], rules: KeepRules, rule: str, count: int
) -> None:
    before = getattr(rules, rule)
    if count != UNLIMITED:
        count = UNLIMITED if before == UNLIMITED else max(before, count)
    fewer, more = decide(times, rules), decide(times, keep(rule, count, rules))
    assert [position for position, reasons in enumerate(fewer) if reasons and not more[position]] == []


@given(histories(), policies(), durations())
def test_a_longer_duration_never_lets_go_what_was_kept(
    times: list[datetime], rules: KeepRules, longer: Duration
) -> None:
    parts = zip(rules.within or Duration(), longer, strict=True)
    fewer, more = decide(times, rules), decide(times, replace(rules, within=Duration(*map(sum, parts))))
    assert [position for position, reasons in enumerate(fewer) if reasons and not more[position]] == []


@given(histories(), policies())
def test_a_policy_keeps_what_its_rules_keep_one_by_one(times: list[datetime], rules: KeepRules) -> None:
    single = [keep(name, getattr(rules, name)) for name in (*COUNTING, "within")]
    answers = [decide(times, rule) for rule in single if not rule.is_empty]
    assert decide(times, rules) == [tuple(sum(reasons, ())) for reasons in zip(*answers, strict=True)]


@given(histories(), st.sampled_from(list(PERIODS)), st.integers(1, 6))
def test_a_rule_keeps_the_newest_of_the_last_periods_and_fills_up_with_the_oldest(
    times: list[datetime], rule: str, count: int
) -> None:
    newest = {when.strftime(PERIODS[rule]): when for when in sorted(times)}
    expected = set(sorted(newest.values())[-count:])
    if len(newest) < count:
        expected |= set(sorted(times)[:1])
    assert set(kept(times, keep(rule, count))) == expected


@given(histories(), st.integers(0, 6))
def test_last_keeps_that_many_of_the_newest(times: list[datetime], count: int) -> None:
    assert kept(times, KeepRules(last=count, yearly=1)) == sorted(times)[-max(count, 1) :]


@given(histories(), policies(), st.sampled_from(COUNTING))
def test_no_rule_keeps_more_than_its_number(times: list[datetime], rules: KeepRules, rule: str) -> None:
    number = getattr(rules, rule)
    assert number == UNLIMITED or len(kept_by(rule, times, rules)) <= number


@given(histories(), durations().filter(bool))
def test_within_keeps_exactly_what_is_later_than_its_start(times: list[datetime], duration: Duration) -> None:
    expected = [when for when in sorted(times) if when > duration.before(max(times))]
    assert kept(times, KeepRules(within=duration)) == expected


@given(histories(), policies())
def test_pruning_again_lets_nothing_more_go(times: list[datetime], rules: KeepRules) -> None:
    once = kept(times, rules)
    assert kept(once, rules) == once


@given(histories(), policies(), st.datetimes(datetime(2023, 12, 30), datetime(2028, 1, 1)))
def test_what_is_later_than_now_changes_nothing_for_the_rest(
    times: list[datetime], rules: KeepRules, now: datetime
) -> None:
    found = dict(enumerate(decide(times, rules, now=now)))
    future = {position for position, when in enumerate(times) if when > now}
    assert all(found.pop(position) == ("future",) for position in future)
    assert list(found.values()) == decide([when for when in times if when <= now], rules)


# Settings.


@pytest.mark.parametrize("rules", [KeepRules(), KeepRules(within=Duration()), KeepRules(daily=0)])
def test_a_policy_without_a_rule_is_refused(rules: KeepRules) -> None:
    assert rules.is_empty
    with pytest.raises(SettingsError, match="every archive would go; give one, such as --keep-daily 7"):
        decide([NOON], rules)


def test_a_duration_of_nothing_is_no_rule() -> None:
    assert decide([NOON], KeepRules(daily=1, within=Duration())) == [("daily",)]


@pytest.mark.parametrize("rule", COUNTING)
def test_every_rule_alone_is_a_policy(rule: str) -> None:
    assert not keep(rule, 1).is_empty
    assert not keep(rule, UNLIMITED).is_empty
    assert not KeepRules(within=Duration(hours=1)).is_empty


@pytest.mark.parametrize("rule", COUNTING)
def test_a_negative_number_is_refused(rule: str) -> None:
    with pytest.raises(SettingsError, match=f"keep-{rule} is -2"):
        keep(rule, -2)


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(SettingsError, match="negative"):
        KeepRules(within=Duration(days=-1))


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("7", 7), (" 75 ", 75), ("-1", -1), ("unlimited", -1)])
def test_how_many_to_keep_is_a_number_or_unlimited(text: str, count: int) -> None:
    assert keep_count(text) == count


@pytest.mark.parametrize("text", ["", "-2", "+1", "1.5", "all", "7d", "٣", "1_0", "0x1", "9" * 5000])
def test_nothing_else_says_how_many(text: str) -> None:
    with pytest.raises(SettingsError, match=r"write a whole number such as 7, or unlimited"):
        keep_count(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("30d", (0, 0, 30, 0)),
        ("2y5m7d3h", (2, 5, 7, 3)),
        ("1y", (1, 0, 0, 0)),
        ("6m", (0, 6, 0, 0)),
        (" 48h ", (0, 0, 0, 48)),
        ("1y0m36d", (1, 0, 36, 0)),
        ("0d", (0, 0, 0, 0)),
    ],
)
def test_a_duration_is_read(text: str, parts: tuple[int, ...]) -> None:
    assert parse_duration(text) == parts


@pytest.mark.parametrize(
    "text", ["", "7", "1w", "-1d", "1.5d", "3h7d", "1d1d", "1Y", "30 d", "d", "٣d", "9" * 5000 + "y"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(
        SettingsError, match=r"years, months, days and hours, such as 30d, 6m or 2y5m7d3h \(a week is 7d\)"
    ):
        parse_duration(text)


@pytest.mark.parametrize(
    ("moment", "duration", "before"),
    [
        ("2026-11-20T15:00", Duration(2, 5, 7, 3), "2024-06-13T12:00"),
        ("2026-03-31T10:00", Duration(months=1), "2026-02-28T10:00"),
        ("2024-03-31T10:00", Duration(months=1), "2024-02-29T10:00"),
        ("2024-02-29T10:00", Duration(years=1), "2023-02-28T10:00"),
        ("2024-02-29T10:00", Duration(years=4), "2020-02-29T10:00"),
        ("2026-01-15T00:00", Duration(months=1), "2025-12-15T00:00"),
        ("2026-12-15T00:00", Duration(months=12), "2025-12-15T00:00"),
        ("2026-03-31T00:00", Duration(months=1, days=28), "2026-01-31T00:00"),
        ("2026-01-01T00:00", Duration(hours=1), "2025-12-31T23:00"),
        ("2026-01-01T00:00", Duration(years=2025), "0001-01-01T00:00"),
        ("2026-01-01T00:00", Duration(years=2026), "0001-01-01T00:00"),
        ("2026-01-01T00:00", Duration(months=999_999), "0001-01-01T00:00"),
        ("2026-01-01T00:00", Duration(days=999_999), "0001-01-01T00:00"),
    ],
)
def test_a_duration_before_a_moment_follows_the_calendar(moment: str, duration: Duration, before: str) -> None:
    assert duration.before(at(moment)) == at(before)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), durations())
def test_a_duration_of_days_and_hours_is_exact_and_one_of_months_keeps_the_day_where_it_can(
    moment: datetime, duration: Duration
) -> None:
    by_month = duration._replace(days=0, hours=0).before(moment)
    months = 12 * (moment.year - by_month.year) + moment.month - by_month.month
    assert months == 12 * duration.years + duration.months
    assert by_month.day == moment.day or (by_month.day < moment.day and (by_month + DAY).day == 1)
    assert by_month.time() == moment.time()
    assert by_month - duration.before(moment) == timedelta(days=duration.days, hours=duration.hours)


def test_the_latest_is_kept_even_at_the_beginning_of_the_calendar() -> None:
    assert decide([datetime.min], KeepRules(within=Duration(years=1))) == [("within",)]
