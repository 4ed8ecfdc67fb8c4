"""What does a round trip cost: a tree, one large file, and small entries at 0, 10, 50 and 150 ms?

    python -m benchmarks.latency [--runs 1] [--round-trips 0,10,50,150] [--append FILE.md]

A proxy of our own delays each byte; it does not limit the rate. The tree has 20,000 files, 375 MB; the file 1 GiB that
does not compress; the entries are 2,000 of 5 files, of which the plain script does 50 and the pipeline 200, or at 0 ms
all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.contest import Entrant, present, rounds, walls
from benchmarks.options import options_from, parser
from benchmarks.other_peers import scp
from benchmarks.peers import igzip, igzip_shared, ours, script
from benchmarks.plots import Lines
from benchmarks.report import Report, Table, publish, say
from benchmarks.rig import line, rig
from benchmarks.small_entries import entrants
from benchmarks.sources import make_noise, make_tree
from benchmarks.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.options import Options
    from benchmarks.peers import Peer

NAME = "latency"
HEADINGS = ("source", "peer", "round trip ms", "wall s", "beside ours")
TREE, LARGE, ENTRIES = "tree of many files", "one large file", "small entries"


class Point(NamedTuple):
    """The median wall seconds of one peer with one source at one round trip, and beside this program's."""

    source: str
    peer: str
    round_trip: float
    wall: float
    ratio: float


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser(__doc__, runs=1)
    made.add_argument("--round-trips", type=lambda text: tuple(map(float, text.split(","))), default=None)
    options = options_from(made, arguments)
    round_trips = options.round_trips or ((0, 5) if options.small else (0, 10, 50, 150))
    contests = {
        TREE: [ours(), igzip(), igzip_shared()],
        LARGE: [ours(), scp()],
        ENTRIES: [ours(), igzip_shared(), script()],
    }
    there = {source: present(peers) for source, peers in contests.items()}
    with rig(options.scratch, keep=options.keep) as (base, server):
        _make(base, small=options.small)
        points = []
        for round_trip in round_trips:
            with line(server, round_trip) as far:
                for source, (peers, _) in there.items():
                    say(f"{source} at {round_trip:g} ms")
                    runs = rounds(_entrants(source, peers, base, options, round_trip), far, options.runs)
                    points += _points(source, round_trip, walls(runs))
    peers = [peer for found, _ in there.values() for peer in found]
    notes = sorted({note for _, found in there.values() for note in found})
    report = Report(NAME, "Round trips", [_table(points)], versions(peers), notes)
    publish(report, _chart(points), options)


def _make(base: Path, *, small: bool) -> None:
    make_tree(base / TREE, *((200, 3_000_000) if small else (20_000, 375_000_000)))
    make_noise(base / LARGE, 1, (2 << 20) if small else 1 << 30)


def _entrants(source: str, peers: Sequence[Peer], base: Path, options: Options, round_trip: float) -> list[Entrant]:
    if source == ENTRIES:
        return entrants(peers, base, options, round_trip)
    return [Entrant(peer, base / source) for peer in peers]


def _points(source: str, round_trip: float, medians: dict[str, float]) -> list[Point]:
    first = next(iter(medians.values()))
    return [Point(source, peer, round_trip, wall, wall / first) for peer, wall in medians.items()]


def _table(points: Sequence[Point]) -> Table:
    rows = [
        (p.source, p.peer, f"{p.round_trip:g}", f"{p.wall:.2f}", f"{p.ratio:.2f}") for p in sorted(points, key=_order)
    ]
    return Table(HEADINGS, rows)


def _order(point: Point) -> tuple[int, float]:
    return (TREE, LARGE, ENTRIES).index(point.source), point.round_trip


def _chart(points: Sequence[Point]) -> Lines:
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for point in points:
        lines = panels.setdefault(point.source, {})
        lines.setdefault(point.peer, []).append((point.round_trip, point.wall))
    return Lines("Time over a line with a round trip", "round trip, ms", "seconds", panels, logarithmic="y")


if __name__ == "__main__":
    main()
