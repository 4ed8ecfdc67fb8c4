"""How fast is a first backup of a tree of many files, beside what one would do without this program?

    python -m benchmarks.cold_tree [--runs 3] [--source DIRECTORY] [--peers igzip,zstd,restic] [--append FILE.md]

80,000 files, 1.5 GB, in 8 entries, made anew; or a tree of your own, whose entries are backed up where it lies. All
pipelines verify as this program does. The slow ones, gzip and the plain script, run once. Only this program syncs
what it stored to the disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contest import Entrant, present, rounds, table, walls
from benchmarks.options import add_peers, options_from, parser
from benchmarks.other_peers import borg, restic
from benchmarks.peers import ours, pipelines, script
from benchmarks.plots import Bars
from benchmarks.report import Report, publish, say
from benchmarks.rig import rig
from benchmarks.sources import Amount, make_tree, read_once
from benchmarks.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.options import Options

NAME = "cold_tree"
USUAL, SMALL = Amount(80_000, 1_500_000_000), Amount(400, 6_000_000)


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    add_peers(made)
    made.add_argument("--source", type=Path, help="a tree of your own")
    options = options_from(made, arguments)
    peers, notes = present([ours(), *pipelines(), restic(), borg(), script()], options.peers)
    with rig(options.scratch, keep=options.keep) as (base, server):
        source, amount = _source(options, base)
        runs = rounds([Entrant(peer, source) for peer in peers], server, options.runs, keep=options.keep)
    title = f"First backup of a tree: {amount.files:,} files, {amount.size / 1e9:.2f} GB"
    report = Report(NAME, title, [table(runs)], versions(peers), notes)
    publish(report, Bars(title, "seconds", {name: {"wall": wall} for name, wall in walls(runs).items()}), options)


def _source(options: Options, base: Path) -> tuple[Path, Amount]:
    if options.source is None:
        wanted = SMALL if options.small else USUAL
        say(f"making {wanted.files:,} files ...")
        return base / "tree", make_tree(base / "tree", *wanted)
    source = options.source.resolve()
    say(f"reading {source} once, so that all find it in memory ...")
    return source, read_once(source)


if __name__ == "__main__":
    main()
