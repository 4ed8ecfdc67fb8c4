"""The rows that show a run: itself, its destinations where there are several, and the entries under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.last_run import place_of
from async_backup.text import counted, shown, size
from async_backup.ui.estimate import about
from async_backup.ui.rows import Part, bar, clock, column, percent, row
from async_backup.ui.under_way import for_seconds, stalled

if TYPE_CHECKING:
    from rich.text import Text

    from async_backup.ui.board import Board, Flow
    from async_backup.ui.under_way import UnderWay

_AMOUNT = len("1023.9 MiB")
_NAME = 32
_NARROWEST_NAME = 8
_BAR = 40
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAMES_A_SECOND = 4
_KEPT_FREE = 2
"""Lines of the terminal that stay for what is printed above."""


def rows(board: Board, now: float, width: int, height: int) -> list[Text]:
    """At most `height` rows, and always the first one; what does not fit is counted in the last one."""
    room = max(1, height - _KEPT_FREE)
    run = [_totals(board, now, width), _outlook(board, now, width)]
    if len(board.flows) > 1:
        run += [_destination(name, flow, now, width) for name, flow in board.flows.items()]
    return [*run, *_entries(board, now, width, room - len(run))][:room]


def _entries(board: Board, now: float, width: int, room: int) -> list[Text]:
    under_way = list(board.under_way.values())
    if len(under_way) > room:
        more = len(under_way) - max(0, room - 1)
        under_way = under_way[: max(0, room - 1)]
        return [_entry(board, each, now, width) for each in under_way] + [
            row([Part(f"  … and {counted(more, 'entry', 'entries')} more under way", style="dim")], width)
        ]
    return [_entry(board, each, now, width) for each in under_way]


def _totals(board: Board, now: float, width: int) -> Text:
    frame = _FRAMES[int(now * _FRAMES_A_SECOND) % len(_FRAMES)]
    found = board.estimate.found
    of = f"{board.estimate.ended}/{found}{'' if board.estimate.is_listed else '+'} entries"
    speed = sum(flow.speed.at(now) for flow in board.flows.values())
    parts = [
        Part(f"{frame} {of}"),
        Part(f"{board.failed} failed" if board.failed else "", style="red"),
        Part(f"read {_amount(board.read)}", 4),
        Part(f"sent {_amount(sum(flow.sent for flow in board.flows.values()))}", 1),
        Part(_speed(speed), 2),
        Part(clock(now - board.began) if board.began is not None else "", 3),
    ]
    return row(parts, width)


def _outlook(board: Board, now: float, width: int) -> Text:
    """How far it is and how long it takes, or why nobody knows."""
    outlook = board.estimate.at(now)
    silence = board.pulse.silent_for(now)
    parts = [Part("")]
    if outlook.fraction is not None:
        parts = [Part("  " + bar(outlook.fraction, min(_BAR, width // 3)), 2), Part(percent(outlook.fraction), 1)]
    if silence is not None:
        parts.append(Part(_silence(board, silence), style="yellow"))
    elif board.is_stopping:
        parts.append(Part("stopping", style="yellow"))
    elif outlook.seconds_left is not None:
        parts.append(Part(f"{about(outlook.seconds_left)} left"))
    else:
        parts.append(Part("  time left: not known yet" if outlook.fraction is None else "time left: not known yet"))
    return row(parts, width)


def _silence(board: Board, seconds: float) -> str:
    under_way, destinations = list(board.under_way.values()), board.destinations
    if any(each.is_sending(destinations) for each in under_way):
        return stalled(seconds, "no segment sent")
    if under_way and all(each.is_verifying(destinations) for each in under_way):
        return f"waiting for the server's checksums for {for_seconds(seconds)}"
    return stalled(seconds, "nothing read")


def _destination(name: str, flow: Flow, now: float, width: int) -> Text:
    state = Part("lost", style="red") if flow.is_lost else Part(_speed(flow.speed.at(now)), 1)
    return row(
        [Part(f"  → {column(shown(name), _name_width(width))}"), Part(f"sent {_amount(flow.sent)}"), state], width
    )


def _entry(board: Board, each: UnderWay, now: float, width: int) -> Text:
    name = Part(f"  {column(shown(each.entry.name), _name_width(width))}")
    again = Part(f"attempt {each.attempt}" if each.attempt > 1 else "", 2, "yellow")
    time = Part(clock(now - each.began), 4)
    if each.is_verifying(board.destinations):
        return row([name, Part("verifying on the server", style="cyan"), again, time], width)
    expected, done = board.estimate.size(place_of(each.entry)), each.done(board.destinations)
    fraction = percent(done / max(expected, each.raw, 1)) if expected is not None else ""
    parts = [
        name,
        Part(f"read {_amount(each.raw)}", 5),
        Part(f"sent {_amount(sum(each.sent.values()))}", 1),
        Part(_speed(each.speed.at(now)), 3),
        Part(fraction, 2),
        again,
        time,
    ]
    return row(parts, width)


def _name_width(width: int) -> int:
    return min(_NAME, max(_NARROWEST_NAME, width - 56))


def _amount(count: float) -> str:
    return f"{size(count):>{_AMOUNT}}"


def _speed(rate: float) -> str:
    return f"{size(rate):>{_AMOUNT}}/s" if rate else " " * (_AMOUNT + 2)
