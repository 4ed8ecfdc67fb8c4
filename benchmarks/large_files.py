"""How fast are a few large files that do not compress, beside plain copies and pipelines?

    python -m benchmarks.large_files [--runs 3] [--peers scp,rclone] [--append FILE.md]

Four files of 1 GiB, each an entry. scp copies two at a time, and the server computes the MD5 of each; rclone four at a
time, and compares MD5s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contest import Entrant, present, rounds, table, walls
from benchmarks.options import add_peers, options_from, parser
from benchmarks.other_peers import rclone, scp
from benchmarks.peers import igzip, igzip_shared, ours, pipeline
from benchmarks.plots import Bars
from benchmarks.report import Report, publish, say
from benchmarks.rig import rig
from benchmarks.sources import make_noise
from benchmarks.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "large_files"
COUNT, SIZE, SMALL_SIZE = 4, 1 << 30, 2 << 20


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    add_peers(made)
    options = options_from(made, arguments)
    size = SMALL_SIZE if options.small else SIZE
    others = [
        scp(),
        rclone(),
        igzip(),
        igzip_shared(),
        pipeline("zstd", "-1", suffix=".tar.zst"),
        pipeline("pigz", "-1"),
    ]
    peers, notes = present([ours(), *others], options.peers)
    with rig(options.scratch, keep=options.keep) as (base, server):
        say(f"making {COUNT} files of {size >> 20:,} MiB ...")
        make_noise(base / "noise", COUNT, size)
        runs = rounds([Entrant(peer, base / "noise") for peer in peers], server, options.runs, keep=options.keep)
    title = f"Large files that do not compress: {COUNT} of {size >> 20:,} MiB"
    report = Report(NAME, title, [table(runs)], versions(peers), notes)
    publish(report, Bars(title, "seconds", {name: {"wall": wall} for name, wall in walls(runs).items()}), options)


if __name__ == "__main__":
    main()
