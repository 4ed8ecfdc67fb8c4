"""What a terminal shows of a run: the truth, in as many rows and columns as there are."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from async_backup.errors import ConnectionDropped
from async_backup.events import (
    AttemptFailed,
    Connected,
    DestinationLost,
    EntryEnded,
    EntryFound,
    EntryStarted,
    EntryUploaded,
    Event,
    RunEnded,
    RunStarted,
    SegmentPacked,
    SegmentSent,
    Stopping,
)
from async_backup.last_run import LastEntry, LastSizes
from async_backup.model import Committed, Entry, Failed, Problems, Report
from async_backup.remote.base import StoredDigest
from async_backup.ui.bars import Bars
from async_backup.ui.board import Board
from async_backup.ui.live import SteadyLive
from async_backup.ui.panel import rows
from async_backup.ui.verifying import VerifyBar
from async_backup.verifying.model import BytesVerified, VerifyStarted

NAS, SITE = "nas:/b", "site:/b"
MIB = 1 << 20
LAST = LastSizes({b"/e%d" % number: LastEntry(100 * MIB, 1.0) for number in range(9)})
LOST = ConnectionDropped("lost")


def entry(number: int) -> Entry:
    return Entry(Path("/data"), b"e%d" % number, b"", b"e%d-now.tar.gz" % number)


def committed(number: int, destination: str = NAS) -> Committed:
    digest = StoredDigest("aa", "md5sum")
    return Committed(entry(number), MIB, 100 * MIB, 1, "aa", digest, Problems(), destination=destination)


def begun(*destinations: str, entries: int = 1) -> Board:
    """A run whose entries have all been found, at the time 0; what is known of them is in `LAST`."""
    board = Board(LAST)
    board.note(RunStarted("run", datetime.now(UTC), destinations or (NAS,)), 0.0)
    board.note(Connected("nas", b"/b", "md5sum", "", destinations[0] if destinations else NAS), 0.0)
    for number in range(entries):
        board.note(EntryFound(entry(number)), 0.0)
    board.estimate.all_listed()
    return board


def after(board: Board, *events: Event, at: float = 1.0) -> Board:
    for event in events:
        board.note(event, at)
    return board


def shown(board: Board, now: float = 1.0, width: int = 200, height: int = 50) -> list[str]:
    return [row.plain.rstrip() for row in rows(board, now, width, height)]


def packed(number: int, raw: int, size: int) -> tuple[Event, Event]:
    return EntryStarted(entry(number), 1), SegmentPacked(entry(number), raw, size)


def test_a_run_tells_what_was_read_and_sent_and_of_how_many_entries() -> None:
    board = after(begun(entries=2), *packed(0, 50 * MIB, 20 * MIB), SegmentSent(entry(0), 10 * MIB, NAS))
    run, outlook, first = shown(board)
    assert "0/2 entries" in run
    assert "read   50.0 MiB" in run
    assert "sent   10.0 MiB" in run
    assert "12 %" in outlook  # half of what was packed has arrived: 25 of 200 MiB
    assert "25 %" in first


def test_what_is_packed_is_not_done_until_it_has_been_sent() -> None:
    board = after(begun(), *packed(0, 100 * MIB, 40 * MIB))
    assert " 0 %" in shown(board)[1]
    after(board, SegmentSent(entry(0), 40 * MIB, NAS))
    assert "99 %" in shown(board)[1]


def test_with_several_destinations_the_slowest_tells_how_far_it_is() -> None:
    board = after(begun(NAS, SITE), *packed(0, 100 * MIB, 40 * MIB), SegmentSent(entry(0), 40 * MIB, NAS))
    assert " 0 %" in shown(board)[1]
    after(board, SegmentSent(entry(0), 20 * MIB, SITE))
    run, outlook, nas, site, _ = shown(board)
    assert "sent   60.0 MiB" in run
    assert "50 %" in outlook
    assert [line.split()[1] for line in (nas, site)] == [NAS, SITE]
    assert "sent   40.0 MiB" in nas
    assert "sent   20.0 MiB" in site


def test_an_entry_has_ended_when_it_has_at_each_destination() -> None:
    board = after(begun(NAS, SITE), *packed(0, 1, 1), EntryEnded(committed(0, NAS)))
    assert "0/1 entries" in shown(board)[0]
    after(board, EntryEnded(committed(0, SITE)))
    assert "1/1 entries" in shown(board)[0]
    assert not board.under_way


def test_a_lost_destination_is_no_longer_waited_for() -> None:
    board = after(begun(NAS, SITE), *packed(0, 1, 1), EntryEnded(committed(0, NAS)), DestinationLost(SITE, LOST))
    assert "1/1 entries" in shown(board)[0]
    assert "lost" in shown(board)[3]
    after(board, EntryEnded(Failed(entry(0), LOST, destination=SITE)))
    assert "1/1 entries" in shown(board)[0]
    assert not board.under_way


def test_an_entry_that_failed_is_counted_as_such() -> None:
    board = after(begun(), EntryStarted(entry(0), 1), EntryEnded(Failed(entry(0), LOST, destination=NAS)))
    assert "1/1 entries  1 failed" in shown(board)[0]


def test_an_attempt_that_failed_takes_back_what_was_done() -> None:
    board = after(begun(), *packed(0, 50 * MIB, MIB), SegmentSent(entry(0), MIB, NAS))
    assert "50 %" in shown(board)[1]
    after(board, AttemptFailed(entry(0), LOST, 1, NAS), EntryStarted(entry(0), 2))
    assert " 0 %" in shown(board)[1]
    assert "attempt 2" in shown(board)[2]


def test_before_anything_is_known_that_is_said() -> None:
    board = Board(LastSizes())
    after(board, Connected("nas", b"/b", "md5sum", "", NAS), EntryFound(entry(0)), *packed(0, MIB, MIB))
    run, outlook, first = shown(board)
    assert "0/1+ entries" in run
    assert outlook == "  time left: not known yet"
    assert "%" not in first


def test_the_time_left_is_told_once_it_can_be() -> None:
    board = after(begun(entries=4), *packed(0, 100 * MIB, 100 * MIB))
    for seconds in range(1, 31):
        after(board, SegmentSent(entry(0), 2 * MIB, NAS), at=float(seconds))
    assert "about 3 min left" in shown(board, 30.0)[1]


def test_a_stall_is_told_with_what_does_not_move() -> None:
    board = after(begun(), EntryStarted(entry(0), 1))
    assert "stalled" not in shown(board, 10.9)[1]
    assert "stalled 14 s: nothing read" in shown(board, 15.0)[1]
    after(board, SegmentPacked(entry(0), 50 * MIB, MIB), at=1.0)
    assert "stalled 14 s: no segment sent" in shown(board, 15.0)[1]


def test_a_server_that_computes_checksums_is_not_called_stalled() -> None:
    board = after(
        begun(), *packed(0, MIB, MIB), SegmentSent(entry(0), MIB, NAS), EntryUploaded(entry(0), MIB, "a", NAS)
    )
    assert "waiting for the server's checksums for 14 s" in shown(board, 15.0)[1]
    assert "verifying on the server" in shown(board, 15.0)[2]


def test_stopping_is_told_instead_of_a_time() -> None:
    assert shown(after(begun(), Stopping()))[1].endswith("stopping")


def test_entries_that_have_no_room_are_counted() -> None:
    board = begun(entries=9)
    for number in range(9):
        after(board, EntryStarted(entry(number), 1))
    drawn = shown(board, height=8)
    assert len(drawn) == 6
    assert drawn[-1] == "  … and 6 entries more under way"
    assert [len(shown(board, height=height)) for height in (1, 3, 4, 12, 13, 50)] == [1, 1, 2, 10, 11, 11]


happenings = st.builds(
    lambda make, number, destination: make(number, destination),
    st.sampled_from(
        [
            lambda n, d: EntryFound(entry(n)),
            lambda n, d: EntryStarted(entry(n), 1),
            lambda n, d: SegmentPacked(entry(n), 3 * MIB, MIB),
            lambda n, d: SegmentSent(entry(n), MIB, d),
            lambda n, d: EntryUploaded(entry(n), MIB, "aa", d),
            lambda n, d: AttemptFailed(entry(n), LOST, 1, d),
            lambda n, d: EntryEnded(committed(n, d)),
            lambda n, d: EntryEnded(Failed(entry(n), LOST, destination=d)),
            lambda n, d: DestinationLost(d, LOST),
        ]
    ),
    st.integers(0, 12),
    st.sampled_from([NAS, SITE]),
)


@given(st.lists(happenings, max_size=40), st.integers(1, 200), st.integers(1, 60))
def test_whatever_happens_everything_fits_the_terminal(events: list[Event], width: int, height: int) -> None:
    board = after(begun(NAS, SITE), *events)
    for now in (1.0, 30.0):
        drawn = rows(board, now, width, height)
        assert 1 <= len(drawn) <= height
        assert all(row.cell_len <= width for row in drawn)


class Terminal(io.StringIO):
    """A screen that a display draws on; `rows_erased` counts what the last drawing took away."""

    def drawing(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


def test_a_narrower_terminal_has_wrapped_the_rows_and_all_of_them_are_erased() -> None:
    terminal = Terminal()
    console = Console(file=terminal, force_terminal=True, width=80, height=24, _environ={})
    live = SteadyLive(console, lambda: Text("\n").join(Text("x" * min(70, console.width)) for _ in range(3)))
    live.auto_refresh = False
    live.start()
    live.refresh()
    live.refresh()
    terminal.drawing()
    live.refresh()
    assert terminal.drawing().count("\x1b[2K") == 3
    console.width = 30
    live.refresh()
    assert terminal.drawing().count("\x1b[2K") == 9
    console.width = 80
    live.refresh()
    assert terminal.drawing().count("\x1b[2K") == 3
    live.stop()


def test_lines_appear_above_and_nothing_of_the_bars_stays() -> None:
    terminal = Terminal()
    bars = Bars(Console(file=terminal, force_terminal=True, width=80, height=24, _environ={}), last=LAST)
    with bars:
        bars(Connected("nas", b"/b", "md5sum", ""))
        bars(EntryStarted(entry(0), 1))
        assert "0/0+ entries" in terminal.drawing()
        bars.print("news")
        bars.trouble("/a/very/long" * 20)
        drawn = terminal.drawing()
        assert drawn.index("news") < drawn.index("/a/very") < drawn.rindex("entries")
        assert "/a/very/long" * 20 in drawn
        bars(RunEnded(Report()))
    assert terminal.drawing().endswith("\x1b[2K")


def test_a_verification_from_which_nothing_comes_says_so() -> None:
    console = Console(file=io.StringIO(), width=80)
    now = 0.0
    bar = VerifyBar(console, of_bytes=True)
    bar._clock = lambda: now
    with bar:
        bar(VerifyStarted(1, 100))
        bar(BytesVerified(10))
        assert drawn(bar) == []
        now = 14.0
        assert drawn(bar) == ["stalled 14 s: nothing new"]


def drawn(bar: VerifyBar) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(bar.render())
    return [line for line in capture.get().splitlines() if "stalled" in line]


@pytest.mark.parametrize(
    "event", [EntryFound(entry(0)), SegmentSent(entry(0), 1, NAS), EntryUploaded(entry(0), 1, "a")]
)
def test_an_event_of_an_entry_that_has_not_begun_is_no_error(event: Event) -> None:
    bars = Bars(Console(file=io.StringIO()))
    bars.show(event)
    assert isinstance(bars.render(), Text)
