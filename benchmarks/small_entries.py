"""How fast are many small entries, each an archive, a digest and a rename, without a round trip and with one?

    python -m benchmarks.small_entries [--runs 3] [--append FILE.md]

2,000 directories of 5 files, at 0 and 50 ms. The plain script does 50 of them, and over a round trip the pipeline 200:
their times are multiplied. The pipeline runs one ssh for each step, all over one connection (ControlMaster).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contest import Entrant, present, rounds, table, walls
from benchmarks.options import add_peers, options_from, parser
from benchmarks.peers import igzip_shared, ours, script
from benchmarks.plots import Bars
from benchmarks.report import Report, Table, publish
from benchmarks.rig import line, rig
from benchmarks.sources import make_entries
from benchmarks.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.options import Options
    from benchmarks.peers import Peer

NAME = "small_entries"
ROUND_TRIPS = (0, 50)
USUAL, SMALL = 2000, 20


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    add_peers(made)
    options = options_from(made, arguments)
    peers, notes = present([ours(), igzip_shared(), script()], options.peers)
    tables: list[Table] = []
    bars: dict[str, dict[str, float]] = {}
    with rig(options.scratch, keep=options.keep) as (base, server):
        for round_trip in ROUND_TRIPS:
            with line(server, round_trip) as there:
                runs = rounds(entrants(peers, base, options, round_trip), there, options.runs, keep=options.keep)
            tables.append(_named(table(runs), f"{round_trip} ms"))
            bars |= {f"{name}, {round_trip} ms": {"wall": wall} for name, wall in walls(runs).items()}
    title = f"{SMALL if options.small else USUAL:,} entries of 5 small files"
    publish(Report(NAME, title, tables, versions(peers), notes), Bars(title, "seconds", bars), options)


def entrants(peers: Sequence[Peer], base: Path, options: Options, round_trip: float) -> list[Entrant]:
    """Each with all entries, or with as many as do not take too long."""
    count = SMALL if options.small else USUAL
    found = []
    for peer in peers:
        done = count
        if peer.name != peers[0].name and not options.small:
            done = 50 if peer.slow else 200 if round_trip else count
        source = base / f"entries-{done}"
        if not source.exists():
            make_entries(source, done)
        found.append(Entrant(peer, source, count / done))
    return found


def _named(made: Table, name: str) -> Table:
    return Table((f"{name}: {made.headings[0]}", *made.headings[1:]), made.rows)


if __name__ == "__main__":
    main()
