"""Does time grow linearly and memory not at all, with the number of files and with their size?

    python -m benchmarks.growth [--full] [--append FILE.md]

1, 10 and 100 thousand files of 100 bytes in one entry, 1 million with `--full`; one file of 1 and 4 GiB that does not
compress, 16 with `--full` (which takes twice that on `--scratch`). Peak PSS is that of all processes of this program
together.
"""

from __future__ import annotations

import shutil
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.measure import ServerClock, measured
from benchmarks.options import options_from, parser
from benchmarks.peers import ours
from benchmarks.plots import Lines
from benchmarks.report import Report, Table, publish, say
from benchmarks.rig import rig
from benchmarks.sources import make_files, make_noise, read_once
from benchmarks.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.options import Options
    from tests.sshd import Sshd

NAME = "growth"
HEADINGS = ("source", "wall s", "client CPU s", "server CPU s", "peak PSS MB", "wall s for each unit more")
FILES, SIZES = "thousand files", "GiB in one file"
TOLERANCE = 1.25


class Point(NamedTuple):
    """Medians at one amount, which is in thousands of files or in GiB; the peak, in bytes, is the largest."""

    amount: float
    wall: float
    client: float
    server: float
    peak: int


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser(__doc__, runs=1)
    made.add_argument("--full", action="store_true", help="also a million files, and 16 GiB")
    options = options_from(made, arguments)
    amounts = _amounts(options)
    with rig(options.scratch, keep=options.keep) as (base, server):
        found = {unit: [_point(unit, each, base, server, options) for each in many] for unit, many in amounts.items()}
    notes = [note for unit, points in found.items() for note in _judged(unit, points)]
    report = Report(NAME, "Growth", [_table(found)], versions([ours()]), notes)
    publish(report, _chart(found), options)


def _amounts(options: Options) -> dict[str, list[float]]:
    if options.small:
        return {FILES: [0.1, 1], SIZES: [0.001, 0.01]}
    more = options.full
    return {FILES: [1.0, 10.0, 100.0] + [1000.0] * more, SIZES: [1.0, 4.0] + [16.0] * more}


def _point(unit: str, amount: float, base: Path, server: Sshd, options: Options) -> Point:
    say(f"{amount:g} {unit}")
    source = base / "source"
    if unit == FILES:
        make_files(source, int(amount * 1000))
    else:
        make_noise(source, 1, int(amount * 2**30))
    read_once(source)
    try:
        points = [_measured(amount, source, server) for _ in range(options.runs)]
    finally:
        shutil.rmtree(source)
    wall, client, server_cpu = (median(values) for values in list(zip(*points, strict=True))[1:4])
    return Point(amount, wall, client, server_cpu, max(point.peak for point in points))


def _measured(amount: float, source: Path, server: Sshd) -> Point:
    directory, log = server.directory / "archives", server.directory / "log"
    directory.mkdir()
    clock = ServerClock(server.pid)
    result = measured(ours().command(source, server, directory), log=log, look_at_memory=True)
    if result.status not in ours().tolerated:
        raise SystemExit(f"the backup ended with status {result.status}:\n{log.read_text(errors='replace')[-2000:]}")
    shutil.rmtree(directory)
    return Point(amount, result.wall, result.cpu, clock.seconds(), result.peak)


def _judged(unit: str, points: Sequence[Point]) -> list[str]:
    """Time by what the last step costs beside the one before (a fixed start does not count), memory by the last two."""
    before, last = points[-2:]
    memory = last.peak / before.peak if before.peak else 0.0
    notes = [f"{unit}: memory {_word(memory, 'is flat', 'grows')} ({memory:.2f} times in the last step)"]
    slopes = _slopes(points)
    if len(slopes) > 1 and slopes[-2] > 0:
        growth = slopes[-1] / slopes[-2]
        word = _word(growth, "grows linearly or less", "grows faster than linearly")
        notes.append(f"{unit}: time {word} ({growth:.2f} times as much for each unit in the last step)")
    return notes


def _word(factor: float, good: str, bad: str) -> str:
    return good if factor <= TOLERANCE else bad


def _slopes(points: Sequence[Point]) -> list[float]:
    """Wall seconds for each unit more, from each point to the next one; two points are compared with the start."""
    steps = [(b.wall - a.wall) / (b.amount - a.amount) for a, b in pairwise(points)]
    return steps if len(steps) > 1 else [points[0].wall / points[0].amount, *steps]


def _table(found: dict[str, list[Point]]) -> Table:
    rows = []
    for unit, points in found.items():
        for index, point in enumerate(points):
            before = points[index - 1] if index else None
            more = (point.wall - before.wall) / (point.amount - before.amount) if before else None
            figures = (f"{point.wall:.2f}", f"{point.client:.2f}", f"{point.server:.2f}", f"{point.peak / 1e6:.0f}")
            rows.append((f"{point.amount:g} {unit}", *figures, f"{more:.3f}" if more is not None else ""))
    return Table(HEADINGS, rows)


def _chart(found: dict[str, list[Point]]) -> Lines:
    panels = {
        unit: {
            "wall, s": [(point.amount, point.wall) for point in points],
            "CPU of client and server, s": [(point.amount, point.client + point.server) for point in points],
            "peak PSS, MB": [(point.amount, point.peak / 1e6) for point in points],
        }
        for unit, points in found.items()
    }
    return Lines("Growth of time and memory", "amount", "seconds, or MB", panels, logarithmic="xy")


if __name__ == "__main__":
    main()
