"""Archives' names: what the backup writes is read back exactly, and nothing else is taken for an archive."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_backup.archive_names import CLASSIC, ArchiveName, NameParser, parse_moment
from async_backup.config import DEFAULT_TIMESTAMP, HASHES
from async_backup.errors import SettingsError
from async_backup.remote.naming import RunId

if TYPE_CHECKING:
    from collections.abc import Iterator

WHEN = datetime(2026, 11, 20, 14, 30, 15)
TO_THE_SECOND = [
    DEFAULT_TIMESTAMP,
    CLASSIC,
    "%F-%T",
    "%FT%T",
    "%Y%m%d%H%M%S",
    "%Y%j.%H%M%S",
    "%d.%m.%Y um %H Uhr %M:%S",
    "100%%-%Y-%m-%d_%H-%M-%S",
    "%%Y%Y-%m-%d-%H-%M-%S%%",
    "é-%Y-%m-%d-%H%M%S",
    "%S%M%H-%d-%m-%Y",
    "%Y-%m-%d-%j-%H%M%S-%Y",
    "%Y-%m-%jT%H%M%S",
    "(%Y-%m-%d)+[%H.%M.%S]*",
]
COARSE = {
    "%Y-%m-%d": "day",
    "%F": "day",
    "%d-%m-%Y": "day",
    "%Y%j": "day",
    "%Y %d %j": "day",
    "%F %H": "hour",
    "%F-%R": "minute",
}


def name_of(entry: bytes, when: datetime, timestamp_format: str = DEFAULT_TIMESTAMP) -> bytes:
    """The name that the backup gives."""
    return entry + b"-" + os.fsencode(when.strftime(timestamp_format)) + b".tar.gz"


def entries() -> st.SearchStrategy[bytes]:
    """Any bytes that a file name takes, and names that end in what looks like a time or an archive's end."""
    names = st.binary(min_size=1, max_size=60).map(lambda name: name.replace(b"/", b"-").replace(b"\0", b"-"))
    tails = st.sampled_from(
        [b"", b"-", b"--", b"-2026-01-01T000000", b"-01-01-2026-00:00:00", b".tar.gz", b".part", b"\n"]
    )
    return st.builds(bytes.__add__, names, tails)


def moments() -> st.SearchStrategy[datetime]:
    moments = st.datetimes(datetime(1970, 1, 1), datetime(2100, 12, 31, 23, 59, 59))
    return moments.map(lambda when: when.replace(microsecond=0))


@given(entries(), moments(), st.sampled_from(TO_THE_SECOND))
def test_every_name_that_the_backup_gives_is_read_back(entry: bytes, when: datetime, timestamp_format: str) -> None:
    name = name_of(entry, when, timestamp_format)
    assert NameParser([timestamp_format]).parse(name) == ArchiveName(entry, when)


@given(entries(), moments(), st.sampled_from([DEFAULT_TIMESTAMP, CLASSIC]))
def test_both_usual_formats_are_read_without_being_told(entry: bytes, when: datetime, timestamp_format: str) -> None:
    assert NameParser().parse(name_of(entry, when, timestamp_format)) == ArchiveName(entry, when)


@given(entries(), moments(), st.sampled_from(list(COARSE)))
def test_a_format_without_the_time_of_day_tells_the_beginning(
    entry: bytes, when: datetime, timestamp_format: str
) -> None:
    cleared: dict[str, dict[str, Any]] = {
        "day": {"hour": 0, "minute": 0, "second": 0},
        "hour": {"minute": 0, "second": 0},
        "minute": {"second": 0},
    }
    found = NameParser([timestamp_format]).parse(name_of(entry, when, timestamp_format))
    assert found == ArchiveName(entry, when.replace(**cleared[COARSE[timestamp_format]]))


@given(entries(), st.datetimes(datetime(1970, 1, 1), datetime(2100, 12, 31)))
def test_microseconds_are_read_back(entry: bytes, when: datetime) -> None:
    assert NameParser(["%FT%T.%f"]).parse(name_of(entry, when, "%FT%T.%f")) == ArchiveName(entry, when)


@given(
    entries(), st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31)).map(lambda when: when.replace(microsecond=0))
)
def test_years_of_two_digits_are_those_from_1969_to_2068(entry: bytes, when: datetime) -> None:
    assert NameParser(["%y%m%d-%H%M%S"]).parse(name_of(entry, when, "%y%m%d-%H%M%S")) == ArchiveName(entry, when)


def test_the_years_of_two_digits_turn_at_69() -> None:
    parser = NameParser(["%y%m%d"])
    found = [parser.parse(name) for name in (b"a-681231.tar.gz", b"a-690101.tar.gz")]
    assert found == [ArchiveName(b"a", datetime(2068, 12, 31)), ArchiveName(b"a", datetime(1969, 1, 1))]


def near_misses() -> st.SearchStrategy[bytes]:
    """Names with digits and separators where an archive has them, right ones among them."""
    stamps = [
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9][0-6][0-9][0-6][0-9]",
        r"[0-3][0-9]-[01][0-9]-[0-9]{4}-[0-2][0-9]:[0-6][0-9]:[0-6][0-9]",
        r"[0-9]{2}[0-3][0-9]{2}",
        r"[0-9]{10}",
    ]
    strategies = [st.from_regex(rf"\A-?[a-]{{0,2}}-?{stamp}(\.tar\.gz)?\n?\Z").map(str.encode) for stamp in stamps]
    return st.one_of(st.binary(max_size=40), *strategies)


@given(near_misses(), st.sampled_from([DEFAULT_TIMESTAMP, CLASSIC, "%y%j", "%s"]))
@example(b"a-0999-01-01T000000.tar.gz", DEFAULT_TIMESTAMP)
@example(b"a-2026-02-29T000000.tar.gz", DEFAULT_TIMESTAMP)
@example(b"a-26366.tar.gz", "%y%j")
@example(b"a-26000.tar.gz", "%y%j")
def test_what_is_read_is_exactly_what_the_backup_would_write(name: bytes, timestamp_format: str) -> None:
    found = NameParser([timestamp_format]).parse(name)
    assert found is None or name_of(found.entry, found.when, timestamp_format) == name


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".tar.gz",
        b"notes.txt",
        b"a.tar.gz",
        b"a-2026-11-20T143015",
        b"a-2026-11-20T143015.tar",
        b"a-2026-11-20T143015.tgz",
        b"a-2026-11-20T143015.TAR.GZ",
        b"a-2026-11-20T143015.tar.gz\n",
        b"a-2026-11-20T143015\n.tar.gz",
        b"-2026-11-20T143015.tar.gz",
        b"2026-11-20T143015.tar.gz",
        b"a2026-11-20T143015.tar.gz",
        b"a_2026-11-20T143015.tar.gz",
        b"a/b-2026-11-20T143015.tar.gz",
        b"a-2026-11-20t143015.tar.gz",
        b"a-2026-11-20T1430.tar.gz",
        b"a-2026-11-20T14301 .tar.gz",
        b"a-2026-11-20T+43015.tar.gz",
        "a-٢٠٢٦-11-20T143015.tar.gz".encode(),
        b"a-2026-13-20T143015.tar.gz",
        b"a-2026-02-29T143015.tar.gz",
        b"a-2026-11-20T243015.tar.gz",
        b"a-2026-11-20T146015.tar.gz",
        b"a-2026-11-20T143060.tar.gz",
        b"a-0000-11-20T143015.tar.gz",
        b"a-0999-11-20T143015.tar.gz",
    ],
)
def test_a_strangers_file_is_no_archive(name: bytes) -> None:
    assert NameParser().parse(name) is None


@given(entries())
def test_temporary_and_checksum_files_are_no_archives(entry: bytes) -> None:
    name, parser = name_of(entry, WHEN), NameParser()
    assert parser.parse(RunId.of_this_process().temporary_name(name)) is None
    assert [parser.parse(name + b"." + algorithm.encode()) for algorithm in HASHES] == [None] * len(HASHES)


def test_an_entry_may_itself_be_called_like_an_archive() -> None:
    parser = NameParser()
    archive = b"a-2026-01-01T000000-2026-01-02T000000.tar.gz"
    assert parser.parse(archive) == ArchiveName(b"a-2026-01-01T000000", datetime(2026, 1, 2))
    assert parser.parse(name_of(archive, WHEN)) == ArchiveName(archive, WHEN)
    assert parser.parse(name_of(b"-", WHEN)) == ArchiveName(b"-", WHEN)
    assert parser.parse(name_of(b".config", WHEN)) == ArchiveName(b".config", WHEN)


LONG, SHORT = "%H%M-%Y-%m-%d", "%Y-%m-%d"


@pytest.mark.parametrize("formats", [[LONG, SHORT], [SHORT, LONG]])
def test_where_two_formats_fit_the_longer_text_is_the_time(formats: list[str]) -> None:
    """Otherwise no archive of the longer format would ever be read right."""
    parser = NameParser(formats)
    assert parser.parse(b"a-1430-2026-11-20.tar.gz") == ArchiveName(b"a", datetime(2026, 11, 20, 14, 30))
    assert parser.parse(b"a-9930-2026-11-20.tar.gz") == ArchiveName(b"a-9930", datetime(2026, 11, 20))
    assert parser.parse(b"a-2026-11-20.tar.gz") == ArchiveName(b"a", datetime(2026, 11, 20))
    assert parser.parse(b"1430-2026-11-20.tar.gz") == ArchiveName(b"1430", datetime(2026, 11, 20))


@given(entries(), moments(), st.permutations(["%FT%H%M", "%H%M-%F", DEFAULT_TIMESTAMP, CLASSIC, "%S%M-%FT%H%M"]))
def test_names_of_the_longest_format_are_never_misread(entry: bytes, when: datetime, formats: list[str]) -> None:
    longest = max(formats, key=lambda text: len(when.strftime(text)))
    assert NameParser(formats).parse(name_of(entry, when, longest)) == ArchiveName(entry, when)


def test_where_one_text_has_two_readings_the_first_format_given_wins() -> None:
    american, classic = "%m-%d-%Y-%H:%M:%S", CLASSIC
    name = b"a-03-04-2026-00:00:00.tar.gz"
    assert NameParser([american, classic]).parse(name) == ArchiveName(b"a", datetime(2026, 3, 4))
    assert NameParser([classic, american]).parse(name) == ArchiveName(b"a", datetime(2026, 4, 3))
    unmistakable = b"a-25-12-2026-00:00:00.tar.gz"
    assert NameParser([american, classic]).parse(unmistakable) == ArchiveName(b"a", datetime(2026, 12, 25))


def test_values_that_contradict_each_other_are_no_time() -> None:
    parser = NameParser(["%Y-%j-%m-%d-%y"])
    assert parser.parse(b"a-2026-324-11-20-26.tar.gz") == ArchiveName(b"a", datetime(2026, 11, 20))
    assert parser.parse(b"a-2026-325-11-20-26.tar.gz") is None
    assert parser.parse(b"a-2026-324-11-20-27.tar.gz") is None
    assert NameParser(["%Y-%m-%d-%Y"]).parse(b"a-2026-11-20-2025.tar.gz") is None


@pytest.mark.parametrize("name", [b"a-0000366.tar.gz", b"a-9999366.tar.gz", b"a-2026366.tar.gz", b"a-2026000.tar.gz"])
def test_a_day_that_its_year_does_not_have_is_no_time(name: bytes) -> None:
    assert NameParser(["%Y%j"]).parse(name) is None


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_seconds_since_the_epoch_become_local_time() -> None:
    assert NameParser(["%s"]).parse(name_of(b"a", WHEN, "%s")) == ArchiveName(b"a", WHEN)
    assert NameParser(["at %s"]).parse(b"a-at 1795181415.tar.gz") == ArchiveName(b"a", WHEN)


@pytest.mark.usefixtures("berlin")
def test_seconds_since_the_epoch_are_read_in_the_hour_that_a_change_of_the_clock_repeats() -> None:
    parser = NameParser(["%s"])
    found = [parser.parse(b"a-%d.tar.gz" % seconds) for seconds in (1792888200, 1792891800)]
    assert found == [ArchiveName(b"a", datetime(2026, 10, 25, 2, 30))] * 2


@pytest.mark.parametrize(
    "name", [b"photos-2019.tar.gz", b"a-143015.tar.gz", b"a-0795181415.tar.gz", b"a-17951814150.tar.gz"]
)
def test_not_every_number_is_seconds_since_the_epoch(name: bytes) -> None:
    assert NameParser(["%s"]).parse(name) is None


@pytest.mark.parametrize(
    ("timestamp_format", "reason"),
    [
        ("%Y-%m-%d %A", "%A is not one of %Y %y %m %d %j %H %M %S"),
        ("%d-%b-%Y", "%b is not one of"),
        ("%c", "%c is not one of"),
        ("%G-W%V-%u", "%G is not one of"),
        ("%FT%T%z", "%z is not one of"),
        ("%-d.%m.%Y", "%- is not one of"),
        ("%F %I%p", "%I is not one of"),
        ("%F%", "% is not one of"),
        ("%F\n", "a line break"),
        ("%D", "a slash"),
        ("%Y/%m/%d", "a slash"),
        ("%F\0", "a NUL"),
        ("%H", "no whole date"),
        ("%T", "no whole date"),
        ("%Y-%m", "no whole date"),
        ("%m-%d", "no whole date"),
        ("%Y-%d", "no whole date"),
        ("%j", "no whole date"),
        ("daily", "no whole date"),
        ("", "no whole date"),
        ("%%F", "no whole date"),
        ("%F-%M", "%M does not tell the time without %H"),
        ("%F-%H-%S", "%S does not tell the time without %M"),
        ("%F-%H%M%f", "%f does not tell the time without %S"),
        ("%s-%F", "nothing else may stand beside %s"),
    ],
)
def test_a_format_whose_times_cannot_be_read_back_is_refused_with_the_reason(
    timestamp_format: str, reason: str
) -> None:
    with pytest.raises(SettingsError, match="cannot be read back") as refused:
        NameParser([DEFAULT_TIMESTAMP, timestamp_format])
    assert repr(timestamp_format) in str(refused.value)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("2026", "2027-01-01"),
        ("2026-11", "2026-12-01"),
        ("2026-12", "2027-01-01"),
        ("2024-02", "2024-03-01"),
        ("2026-11-20", "2026-11-21"),
        ("2026-11-30", "2026-12-01"),
        ("2024-02-28", "2024-02-29"),
        ("2026-11-20T14", "2026-11-20T15:00"),
        ("2026-11-20 23", "2026-11-21"),
        ("2026-11-20T14:30", "2026-11-20T14:31"),
        ("2026-11-20T1430", "2026-11-20T14:31"),
        ("2026-11-20T143015", "2026-11-20T14:30:16"),
        ("2026-11-20T14:30:15", "2026-11-20T14:30:16"),
        ("2026-11-20 14:30:15", "2026-11-20T14:30:16"),
        ("2026-12-31T23:59:59", "2027-01-01"),
        ("  2026-11-20\n", "2026-11-21"),
    ],
)
def test_a_moment_is_the_end_of_what_was_named(text: str, after: str) -> None:
    assert parse_moment(text) == datetime.fromisoformat(after)


@pytest.mark.parametrize(
    "text",
    [
        *("", "20-11-2026", "11", "11-20", "20261120", "yesterday", "26-11-20", "2026-1-2", "2026-W47", "-2026"),
        *("2026-13", "2026-00", "2026-02-29", "2026-11-31", "0000", "0026-11-20", "9999", "9999-12-31", "2026-11-٢٢"),
        *("2026-11-20T24", "2026-11-20T14:60", "2026-11-20T14:30:60", "2026-11-20T1", "2026-11-20T14:3015"),
        *("2026-11-20T1430:15", "2026-11-20T", "2026-11-20T14:", "2026-11-20T143015Z", "2026-11-20T14:30:15.5"),
        *("2026-11-20t14", "2026-11-20  14", "2026-11-20-14", "2026-11-20T14:30+01:00"),
    ],
)
def test_nothing_is_guessed_from_another_text(text: str) -> None:
    with pytest.raises(
        SettingsError, match=r"is not a time; write 2026-11-20, 2026-11-20T14:30, .* such as 2026-11 or"
    ):
        parse_moment(text)


@given(moments(), st.sampled_from(["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H", "%Y-%m-%dT%H%M", "%Y-%m-%d %H:%M:%S"]))
def test_a_moment_is_the_first_whose_text_is_another(when: datetime, timestamp_format: str) -> None:
    text = when.strftime(timestamp_format)
    after = parse_moment(text)
    assert when < after
    assert after.strftime(timestamp_format) != text
    assert (after - timedelta(microseconds=1)).strftime(timestamp_format) == text
