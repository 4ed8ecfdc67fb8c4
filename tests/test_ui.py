"""Names, sizes and lines as people see them; progress on a terminal."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress

from async_backup.archive.member import Problem, ProblemKind
from async_backup.errors import ConnectionDropped, DigestMismatch, ExitCode, RemoteFull
from async_backup.events import (
    AttemptFailed,
    Connected,
    EntryEnded,
    EntryFound,
    EntryStarted,
    EntryUploaded,
    Event,
    FileProblem,
    RunEnded,
    SegmentPacked,
    SegmentSent,
    SourceEmpty,
)
from async_backup.model import Committed, Entry, Failed, Interrupted, Problems, Report
from async_backup.remote.base import StoredDigest
from async_backup.text import counted, duration, shown, size
from async_backup.ui.bars import Bars
from async_backup.ui.columns import Amount, Speed
from async_backup.ui.json_lines import JsonPrinter
from async_backup.ui.lines import QUIET
from async_backup.ui.plain import PlainPrinter
from async_backup.ui.summary import summary

ENTRY = Entry(Path("/data"), b"[red]docs", b"", b"[red]docs-now.tar.gz")
COMMITTED = Committed(
    ENTRY, 1000, 5000, 3, "aa", StoredDigest("aa", "md5sum"), Problems(), destination="me@nas:/backups"
)
MISMATCH = DigestMismatch("docs", sent="aa", stored="bb")
EVENTS: list[Event] = [
    Connected("nas", b"/backups", "md5sum", ""),
    EntryFound(ENTRY),
    EntryStarted(ENTRY, 1),
    SegmentPacked(ENTRY, 5000, 1000),
    SegmentSent(ENTRY, 1000),
    EntryUploaded(ENTRY, 1000, "aa"),
    AttemptFailed(ENTRY, MISMATCH, 1),
    EntryStarted(ENTRY, 2),
    FileProblem(ENTRY, Problem(b"docs/x", ProblemKind.UNREADABLE, "Permission denied"), is_loss=True),
    EntryEnded(COMMITTED),
    RunEnded(Report((COMMITTED,), seconds=2.0)),
]


@given(st.binary())
def test_nothing_that_a_file_can_be_called_reaches_the_terminal_raw(name: bytes) -> None:
    text = shown(name)
    assert text.isprintable()
    text.encode()


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_names_of_one_kind_stay_apart(one: bytes, other: bytes) -> None:
    if b"\\" not in one + other and one != other:
        assert shown(one) != shown(other)


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"plain", "plain"), (b"a\nb", "a\\nb"), (b"\x1b[1m", "\\x1b[1m"), (b"caf\xe9", "caf\\xe9"), ("ü".encode(), "ü")],
)
def test_a_name_is_shown_as_it_is_where_that_is_safe(name: bytes, text: str) -> None:
    assert shown(name) == text


def test_amounts_read_as_people_write_them() -> None:
    assert [size(0), size(1023), size(1536), size(5 << 40)] == ["0 B", "1023 B", "1.5 KiB", "5.0 TiB"]
    assert [duration(4.21), duration(192), duration(7500)] == ["4.2 s", "3 min 12 s", "2 h 05 min"]
    assert [counted(1, "entry", "entries"), counted(2, "entry", "entries")] == ["1 entry", "2 entries"]


def printed(events: list[Event], verbosity: int = 0) -> tuple[list[str], list[str]]:
    out: list[str] = []
    err: list[str] = []
    printer = PlainPrinter(out.append, err.append, verbosity)
    for event in events:
        printer(event)
    return out, err


def test_a_mismatch_shows_both_values_and_that_the_file_was_removed() -> None:
    _, err = printed([AttemptFailed(ENTRY, MISMATCH, 1)])
    assert err[:4] == [
        "hash values of [red]docs-now.tar.gz do not match",
        "  before upload: aa",
        "  after upload:  bb",
        "  the remote file was removed",
    ]


def test_a_failed_entry_is_named_with_its_reason() -> None:
    _, err = printed([EntryEnded(Failed(ENTRY, RemoteFull("nas: full")))])
    assert err == ["NOT BACKED UP: /data/[red]docs: nas: full"]


def test_quiet_prints_trouble_only() -> None:
    out, err = printed(EVENTS, QUIET)
    assert out == []
    assert any("Permission denied" in line for line in err)


def test_the_summary_speaks_of_sizes_only_where_something_was_committed() -> None:
    assert summary(Report((COMMITTED,), seconds=2.0)) == [
        "1 of 1 entry committed: 4.9 KiB became 1000 B in 2.0 s, 2.4 KiB/s"
    ]
    failed = Report((Failed(ENTRY, ConnectionDropped("lost")), Interrupted(ENTRY)), seconds=2.0)
    assert summary(failed)[0] == "0 of 2 entries committed"
    assert summary(Report(is_interrupted=True))[0] == "interrupted: 0 of 0 entries committed"
    assert summary(Report()) == ["nothing was backed up"]


def test_an_empty_source_is_told_whatever_the_verbosity() -> None:
    events: list[Event] = [SourceEmpty(b"/mnt/\x1bdisk", 0), SourceEmpty(b"/srv", 1)]
    assert printed(events, QUIET) == (
        [],
        [
            "nothing to back up: no entries were found in /mnt/\\x1bdisk; is it mounted?",
            "nothing to back up: all that is in /srv is left out (1 entry)",
        ],
    )


def test_columns_write_bytes_as_everything_else_does() -> None:
    progress = Progress(Amount(), Speed(), get_time=iter(range(100)).__next__)
    progress.add_task("", total=None)
    (task,) = progress.tasks
    assert str(Amount().render(task)).strip() == "0 B"
    assert str(Speed().render(task)) == ""
    progress.update(task.id, total=3 << 30)
    for _ in range(3):
        progress.update(task.id, advance=1 << 20)
    assert str(Amount().render(task)).strip() == "3.0 MiB of 3.0 GiB"
    assert str(Speed().render(task)).endswith("iB/s")


def test_the_summary_names_what_is_not_safe() -> None:
    lost = Problems().plus(Problem(b"x", ProblemKind.VANISHED, "gone"), is_loss=True)
    partial = Committed(ENTRY, 1, 1, 1, "aa", StoredDigest("aa", "md5sum"), lost)
    report = Report((partial, Failed(ENTRY, ConnectionDropped("lost")), Interrupted(ENTRY)), is_interrupted=True)
    lines = summary(report)
    assert lines[0].startswith("interrupted: 1 of 3 entries committed")
    assert "1 entry was NOT backed up:" in lines
    assert "1 entry was not committed" in lines
    assert any("1 file changed or could not be read" in line for line in lines)


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (Report((COMMITTED,)), ExitCode.COMPLETE),
        (Report(()), ExitCode.NOTHING_DONE),
        (Report((COMMITTED, Failed(ENTRY, ConnectionDropped("lost")))), ExitCode.INCOMPLETE),
        (Report((COMMITTED,), (ConnectionDropped("source"),)), ExitCode.INCOMPLETE),
        (Report((COMMITTED,), is_interrupted=True), ExitCode.INTERRUPTED),
    ],
)
def test_a_report_knows_its_exit_code(report: Report, code: ExitCode) -> None:
    assert report.exit_code is code


def test_a_missing_checksum_file_is_no_file_that_could_not_be_read() -> None:
    problem = Problem(b"entry", ProblemKind.CHECKSUM_FILE, "no room")
    lines = summary(Report((replace(COMMITTED, problems=Problems().plus(problem, is_loss=True)),)))
    assert not any("could not be read" in line for line in lines)
    assert "--repair-checksums" in lines[-1]


def test_a_file_that_was_lost_makes_the_run_incomplete_and_a_socket_does_not() -> None:
    def with_problem(kind: ProblemKind) -> Report:
        problems = Problems().plus(Problem(b"x", kind, ""), is_loss=kind.is_loss)
        return Report((Committed(ENTRY, 1, 1, 1, "aa", StoredDigest("aa", "md5sum"), problems),))

    assert with_problem(ProblemKind.CHANGED).exit_code is ExitCode.INCOMPLETE
    assert with_problem(ProblemKind.SKIPPED).exit_code is ExitCode.COMPLETE


def test_each_event_is_one_json_object_of_ascii() -> None:
    lines: list[str] = []
    printer = JsonPrinter(lines.append)
    for event in [*EVENTS, EntryFound(Entry(Path("/d"), b"caf\xe9\n", b"", b"caf\xe9\n.tar.gz"))]:
        printer(event)
    assert all(line.isascii() and line.isprintable() for line in lines)
    objects = [json.loads(line) for line in lines]
    assert objects[6]["error"] == {"error": "DigestMismatch", "message": str(MISMATCH), "sent": "aa", "stored": "bb"}
    assert os.fsencode(objects[-1]["entry"]["name"]) == b"caf\xe9\n"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bars_show_names_as_they_are_and_end_clean(width: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, highlight=False)
    with Bars(console) as bars:
        bars.lines = PlainPrinter(bars.print, bars.trouble)
        for event in EVENTS:
            bars(event)
    text = screen.getvalue()
    assert "upload completed: /data/[red]docs --> me@nas:/backups/[red]docs-now.tar.gz" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
