"""The sizes of the last run: kept for the next one, a hint that can never do harm."""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.errors import ConnectionDropped, SourceError
from async_backup.events import EntryEnded, EntryStarted, RunEnded
from async_backup.last_run import (
    MOST_ENTRIES,
    MOST_FILES,
    LastEntry,
    LastRun,
    LastSizes,
    load,
    place_of,
    save,
    state_file,
)
from async_backup.model import Committed, Entry, Failed, Interrupted, Outcome, Problems, Report
from async_backup.remote.base import StoredDigest


def entry(name: bytes) -> Entry:
    return Entry(Path("/data"), name, b"data", name + b"-now.tar.gz")


def committed(name: bytes, raw_size: int, destination: str = "nas:/b") -> Committed:
    digest = StoredDigest("aa", "md5sum")
    return Committed(entry(name), 10, raw_size, 1, "aa", digest, Problems(), destination=destination)


def failed(name: bytes) -> Failed:
    return Failed(entry(name), ConnectionDropped("lost"))


def run(file: Path, *outcomes: Outcome, report: Report | None = None, is_partial: bool = False) -> LastSizes:
    """What is kept after a run with these outcomes; each event comes a second after the one before."""
    ticks = count()
    listener = LastRun(file, is_partial=is_partial, clock=lambda: float(next(ticks)))
    for outcome in outcomes:
        listener(EntryStarted(outcome.entry, 1))
        listener(EntryEnded(outcome))
    listener(RunEnded(report or Report(outcomes)))
    return load(file)


def test_the_next_run_finds_the_sizes_and_durations_of_the_last(tmp_path: Path) -> None:
    sizes = run(tmp_path / "new" / "state.json", committed(b"docs", 5000), committed(b"caf\xe9\n", 9000))
    assert sizes.entries == {b"data/docs": LastEntry(5000, 1.0), b"data/caf\xe9\n": LastEntry(9000, 1.0)}
    assert sizes.raw_size(place_of(entry(b"docs"))) == 5000
    assert sizes.raw_size(b"data/other") is None
    assert sizes.typical == 7000


def test_an_entry_takes_until_its_last_destination_has_it(tmp_path: Path) -> None:
    both = committed(b"docs", 5000, "nas:/b"), committed(b"docs", 5000, "site:/b")
    assert run(tmp_path / "s.json", *both).entries == {b"data/docs": LastEntry(5000, 2.0)}


def test_an_entry_that_failed_keeps_what_was_known_and_one_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    run(file, committed(b"a", 1), committed(b"b", 2), committed(b"gone", 3))
    assert sorted(run(file, committed(b"a", 4), failed(b"b")).entries) == [b"data/a", b"data/b"]
    assert load(file).raw_size(b"data/a") == 4


@pytest.mark.parametrize(
    "report",
    [
        Report((committed(b"a", 1), Interrupted(entry(b"b"))), is_interrupted=True),
        Report((committed(b"a", 1),), source_errors=(SourceError("the source cannot be read"),)),
    ],
)
def test_nothing_is_forgotten_by_a_run_that_did_not_see_all(tmp_path: Path, report: Report) -> None:
    file = tmp_path / "s.json"
    run(file, committed(b"a", 7), committed(b"z", 9))
    run(file, committed(b"a", 1), report=report)
    assert load(file).entries == {b"data/a": LastEntry(1, 1.0), b"data/z": LastEntry(9, 1.0)}


def test_a_run_of_some_entries_forgets_none_of_the_others(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    run(file, committed(b"a", 7), committed(b"z", 9))
    assert sorted(run(file, committed(b"a", 1), is_partial=True).entries) == [b"data/a", b"data/z"]


def test_a_run_in_which_nothing_was_committed_leaves_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    run(file, failed(b"a"))
    assert not file.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"{",
        b"[]",
        b'{"version": 2, "entries": {"a": [1, 1]}}',
        b'{"version": 1}',
        b'{"version": 1, "entries": []}',
        b'{"version": 1, "entries": {"a": [-1, 1], "b": "x", "c": [1], "d": [1, -1], "e": ["1", 1]}}',
        b'{"version": 1, "entries": {"\\ud800": [1, 1]}}',
        b"[" * 100_000,
        b" " * (9 << 20),
    ],
)
def test_a_broken_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "s.json"
    file.write_bytes(content)
    assert load(file) == LastSizes()
    assert load(file).typical is None
    assert run(file, committed(b"a", 5)).raw_size(b"data/a") == 5


def test_a_place_that_cannot_be_written_does_not_hurt_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "s.json", committed(b"a", 5)) == LastSizes()
    assert load(tmp_path) == LastSizes()


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_json_stands_there_is_read_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.json"
    for content in (value, {"version": 1, "entries": value}, {"version": 1, "entries": {"a": value}}):
        file.write_text(json.dumps(content))
        load(file)


@given(st.dictionaries(st.binary(max_size=12), st.tuples(st.integers(0, 1 << 62), st.integers(0, 10_000))))
def test_what_is_saved_is_loaded_again(
    tmp_path_factory: pytest.TempPathFactory, known: dict[bytes, tuple[int, int]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "saved" / "s.json"
    sizes = LastSizes({place: LastEntry(size, float(seconds)) for place, (size, seconds) in known.items()})
    save(file, sizes)
    assert load(file) == sizes
    assert [path.name for path in file.parent.iterdir()] == ["s.json"]


def test_only_the_largest_entries_and_the_newest_files_are_kept(tmp_path: Path) -> None:
    save(tmp_path / "s.json", LastSizes({b"%d" % n: LastEntry(n, 0.0) for n in range(MOST_ENTRIES + 5)}))
    assert min(entry.raw_size for entry in load(tmp_path / "s.json").entries.values()) == 5
    for number in range(MOST_FILES):
        old = tmp_path / f"{number}.json"
        old.write_text("")
        os.utime(old, (number, number))
    save(tmp_path / "new.json", LastSizes())
    assert len(list(tmp_path.iterdir())) == MOST_FILES
    assert sorted(
        name for name in ("0.json", "1.json", "2.json", "s.json", "new.json") if (tmp_path / name).exists()
    ) == [
        "2.json",
        "new.json",
        "s.json",
    ]


def test_each_profile_and_each_set_of_paths_has_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home, nas = [Path("/home")], ["nas:/b"]
    files = [
        state_file(tmp_path, home, nas),
        state_file(tmp_path, [Path("/srv")], nas),
        state_file(tmp_path, home, ["site:/b"]),
        state_file(tmp_path, home, nas, "nightly"),
        state_file(tmp_path, home, nas, "weekly"),
    ]
    assert len(set(files)) == len(files)
    assert state_file(tmp_path, [Path("src")], nas) == state_file(tmp_path, [tmp_path / "src"], nas)
    assert state_file(tmp_path, [Path("/srv")], nas, "nightly") == files[3]
