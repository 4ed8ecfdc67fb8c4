"""Logging: one line an event, with level and run, for a terminal, a file or the journal."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.member import Problem, ProblemKind
from async_backup.cli.listening import listening
from async_backup.errors import DigestMismatch, RemoteFull, Unreachable
from async_backup.events import (
    AttemptFailed,
    Connected,
    DestinationLost,
    EntryEnded,
    EntryFound,
    EntrySkipped,
    EntryStarted,
    EntryUploaded,
    Event,
    FewerConnections,
    FileProblem,
    LeftoverRemoved,
    ReuseRefused,
    RunEnded,
    RunStarted,
    SegmentPacked,
    SegmentSent,
    SourceEmpty,
    Stopping,
)
from async_backup.hooks.model import HookFailed, HookSaid, PingFailed
from async_backup.hooks.ping import PingUrl
from async_backup.model import Committed, Entry, Failed, Interrupted, Problems, Report
from async_backup.remote.base import StoredDigest
from async_backup.remote.naming import RunId
from async_backup.ui.bars import Bars
from async_backup.ui.lines import NORMAL, QUIET, VERBOSE
from async_backup.ui.logs import LogFormat
from async_backup.ui.plain import PlainPrinter

if TYPE_CHECKING:
    from collections.abc import Sequence

ENTRY = Entry(Path("/data"), b"\x1b[1m\ndocs", b"", b"docs-now.tar.gz")
COMMITTED = Committed(ENTRY, 1000, 5000, 3, "aa", StoredDigest("aa", "md5sum"), Problems(), destination="me@nas:/b")
LOST = Problem(b"docs/x", ProblemKind.UNREADABLE, "Permission denied")
INFO: list[object] = [
    RunStarted("run", datetime(2024, 5, 1, tzinfo=UTC), ("me@nas:/b",)),
    Connected("nas", b"/b", "md5sum", ""),
    LeftoverRemoved(b".x.part"),
    FileProblem(ENTRY, Problem(b"s", ProblemKind.SKIPPED, "a socket"), is_loss=False),
    EntryEnded(COMMITTED),
    EntryEnded(replace(COMMITTED, same_as=b"docs-1.tar.gz")),
    ReuseRefused("me@nas:/b", "links", "nas: no such request"),
    FewerConnections("me@nas:/b", 2, 4, "nas: refused"),
    RunEnded(Report((COMMITTED,), seconds=2.0)),
    HookSaid("after", "hello"),
]
WARNING: list[object] = [
    SourceEmpty(b"/srv", 0),
    FileProblem(ENTRY, LOST, is_loss=True),
    AttemptFailed(ENTRY, DigestMismatch("docs", sent="aa", stored="bb"), 1, "me@nas:/b"),
    EntryEnded(Interrupted(ENTRY)),
    Stopping(),
    HookFailed("after", "exit code 1"),
    PingFailed("https://hc/…", "start", "HTTP status 404"),
]
ERROR: list[object] = [
    DestinationLost("me@nas:/b", Unreachable("nas: gone")),
    EntryEnded(Failed(ENTRY, RemoteFull("nas: full"))),
]
DEBUG: list[object] = [
    EntrySkipped(b"/data/x", "excluded"),
    EntryStarted(ENTRY, 1),
    EntryUploaded(ENTRY, 1000, "aa", "me@nas:/b"),
]
SILENT: list[object] = [EntryFound(ENTRY), SegmentPacked(ENTRY, 5000, 1000), SegmentSent(ENTRY, 1000)]
ALL = [*INFO, *WARNING, *ERROR, *DEBUG, *SILENT]


def tell(events: Sequence[object], verbosity: int = NORMAL, *, as_json: bool = False) -> None:
    context, listener = listening(
        Bars,
        lambda out, err: PlainPrinter(out, err, verbosity),
        as_json=as_json,
        verbosity=verbosity,
        log=True,
    )
    with context:
        for event in events:
            listener(event)  # type: ignore[arg-type] # events of hooks among them


@pytest.mark.parametrize(
    ("events", "level"), [(INFO, "INFO"), (WARNING, "WARNING"), (ERROR, "ERROR"), (DEBUG, "DEBUG"), (SILENT, "")]
)
def test_each_event_is_one_line_with_time_level_and_run(
    events: list[object], level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(events, VERBOSE)
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert printed.out == ""
    assert len(lines) == (len(events) if level else 0)
    head = re.compile(rf"\S+T\S+[+-]\d\d:\d\d {level} \[{RunId.of_this_process()}\] .+")
    assert [line for line in lines if not head.fullmatch(line) or not line.isprintable()] == []


@pytest.mark.parametrize(
    ("verbosity", "expected"),
    [
        (QUIET, [*WARNING, *ERROR]),
        (NORMAL, [*INFO, *WARNING, *ERROR]),
        (VERBOSE, [*INFO, *WARNING, *ERROR, *DEBUG]),
    ],
)
def test_verbosity_chooses_the_levels(
    verbosity: int, expected: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    tell(ALL, verbosity)
    assert len(capsys.readouterr().err.splitlines()) == len(expected)


def test_a_run_that_was_not_whole_ends_with_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    tell([RunEnded(Report((Failed(ENTRY, RemoteFull("nas: full")),), seconds=1.0))], QUIET)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("0 of 1 entry committed; exit code 3")
    assert lines[1].endswith("1 entry was NOT backed up:")


def test_json_lines_stay_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    tell([EntryEnded(COMMITTED), HookSaid("after", "hello")], as_json=True)
    printed = capsys.readouterr()
    assert [json.loads(line)["event"] for line in printed.out.splitlines()] == ["entry_ended", "hook_said"]
    assert len(printed.err.splitlines()) == 2


def test_the_address_of_a_monitor_is_not_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    tell([PingFailed(PingUrl.parsed("https://hc/secret?secret").shown, "start", "HTTP status 404")])
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize(("verbosity", "lines"), [(NORMAL, 0), (VERBOSE, 1)])
def test_the_ssh_library_is_heard_only_where_much_is_wanted_and_only_its_warnings(
    verbosity: int, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    context, _ = listening(Bars, PlainPrinter, as_json=False, verbosity=verbosity, log=True)
    with context:
        logging.getLogger("asyncssh").info("connected")
        logging.getLogger("asyncssh.sftp").warning("a server\n says \x1b[1m")
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_afterwards_logging_is_as_it_was() -> None:
    logger = logging.getLogger("async_backup")
    before = (list(logger.handlers), logger.level, logger.propagate)
    tell([])
    assert (list(logger.handlers), logger.level, logger.propagate) == before


@given(st.text(), st.sampled_from([logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]))
def test_whatever_a_library_says_is_one_line_with_a_priority_for_the_journal(text: str, level: int) -> None:
    record = logging.LogRecord("asyncssh", level, "", 0, "%s", (text,), None)
    line = LogFormat("run-1", for_journal=True).format(record)
    assert re.match(r"<[2-7]>\[run-1\] asyncssh: ", line)
    assert len(line.splitlines()) == 1


_SCRIPT = """
from async_backup.cli.listening import listening
from async_backup.events import Stopping
from async_backup.ui.bars import Bars
from async_backup.ui.plain import PlainPrinter

context, listener = listening(Bars, PlainPrinter, as_json=False, verbosity=0, log=True)
with context:
    for _ in range(2):
        listener(Stopping())
print("went on")
"""


def test_the_journal_gets_priorities_and_no_time(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        for stream, begins in ((f"{status.st_dev}:{status.st_ino}", "<4>["), (f"{status.st_dev}:1", "20")):
            journal.truncate(0)
            journal.seek(0)
            environment = {**os.environ, "JOURNAL_STREAM": stream}
            subprocess.run([sys.executable, "-c", _SCRIPT], stderr=journal, env=environment, check=True)
            journal.seek(0)
            assert [line[: len(begins)] for line in journal] == [begins] * 2


def test_a_log_that_nobody_reads_any_more_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, "-c", _SCRIPT], stderr=writing, stdout=subprocess.PIPE, check=True)
    finally:
        os.close(writing)
    assert done.stdout == b"went on\n"


def test_every_event_of_a_run_is_known_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {type(event) for event in ALL} - {HookSaid, HookFailed, PingFailed}
    assert kinds == set(Event.__args__)
    tell(SILENT, VERBOSE)
    assert capsys.readouterr().err == ""
