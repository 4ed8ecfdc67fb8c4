"""What does a backup cost in CPU time and memory, who pays it, and how far is that from the sum of the parts?

    python -m benchmarks.cost [--runs 3] [--source DIRECTORY] [--append FILE.md]

CPU seconds of this program's own process, of its packing processes and of the server, for each GB of archive; the
largest PSS of all its processes together. Beside it the parts alone: reading with headers and index, deflate, digests,
encryption; and for the server taking the same archives by scp and computing their MD5. Two sources: many files, and
one large file that does not compress; or a tree of your own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measure import Measured, ServerClock, measured
from benchmarks.options import options_from, parser
from benchmarks.other_peers import scp
from benchmarks.peers import ours
from benchmarks.plots import Bars
from benchmarks.report import Report, Table, publish, say
from benchmarks.rig import rig
from benchmarks.sources import make_noise, make_tree, read_once
from benchmarks.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.options import Options
    from tests.sshd import Sshd

NAME = "cost"
HEADINGS = ("CPU s for each GB of archive", "backup", "the parts alone")


@dataclass(frozen=True)
class Cost:
    """CPU seconds of one backup by who spent them, the bytes that it stored, and the peak PSS in bytes."""

    parent: float
    packing: float
    server: float
    wall: float
    stored: int
    peak: int


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    made.add_argument("--source", type=Path, help="a tree of your own")
    options = options_from(made, arguments)
    with rig(options.scratch, keep=options.keep) as (base, server):
        tables: list[Table] = []
        bars: dict[str, dict[str, float]] = {}
        for name, source in _sources(options, base).items():
            say(name)
            costs = [_cost(source, server, number) for number in range(options.runs)]
            floor = _floor(source, server, costs[0].stored)
            tables.append(_table(name, costs, floor))
            bars |= _bars(name, _middle(costs), floor)
    report = Report(NAME, "CPU time and memory, and the sum of the parts", tables, versions([ours()]))
    publish(
        report, Bars("CPU time of a backup and of its parts alone", "CPU seconds for each GB of archive", bars), options
    )


def _sources(options: Options, base: Path) -> dict[str, Path]:
    if options.source is not None:
        read_once(options.source)
        return {str(options.source): options.source.resolve()}
    tree, noise = base / "tree", base / "noise"
    make_tree(tree, *((400, 6_000_000) if options.small else (80_000, 1_500_000_000)))
    make_noise(noise, 1, (8 << 20) if options.small else 1 << 30)
    return {"many files": tree, "one large file that does not compress": noise}


def _cost(source: Path, server: Sshd, number: int) -> Cost:
    directory = server.directory / f"archives-{source.name}"
    shutil.rmtree(directory, ignore_errors=True)  # those of the last run are kept, for the server's part
    directory.mkdir()
    log = server.directory / f"{source.name}-{number}.log"
    clock = ServerClock(server.pid)
    result = measured(ours().command(source, server, directory), log=log, look_at_memory=True)
    if result.status not in ours().tolerated:
        raise SystemExit(f"the backup ended with status {result.status}:\n{log.read_text(errors='replace')[-2000:]}")
    stored = sum(path.stat().st_size for path in directory.glob("*.tar.gz"))
    return Cost(result.own, result.cpu - result.own, clock.seconds(), result.wall, stored, result.peak)


def _floor(source: Path, server: Sshd, stored: int) -> dict[str, float]:
    """CPU seconds of each part."""
    command = [sys.executable, "-m", "benchmarks.floor", str(source)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    parts: dict[str, float] = json.loads(answer.stdout)["seconds"]
    return parts | {"server": _server_alone(server, server.directory / f"archives-{source.name}", stored)}


def _server_alone(server: Sshd, archives: Path, stored: int) -> float:
    """CPU seconds of the server that takes the archives by scp and computes their MD5."""
    outgoing, target = archives.with_name("outgoing"), archives.with_name("by-scp")
    outgoing.mkdir()
    for archive in archives.glob("*.tar.gz"):
        archive.rename(outgoing / archive.name)
    target.mkdir()
    clock = ServerClock(server.pid)
    result: Measured = measured(scp().command(outgoing, server, target), log=target.with_suffix(".log"))
    seconds = clock.seconds()
    if result.status or sum(path.stat().st_size for path in target.iterdir()) != stored:
        raise SystemExit(f"scp ended with status {result.status}:\n{target.with_suffix('.log').read_text()}")
    shutil.rmtree(outgoing)
    shutil.rmtree(target)
    return seconds


def _middle(costs: Sequence[Cost]) -> Cost:
    """The run with the median of CPU time."""
    return sorted(costs, key=lambda cost: cost.parent + cost.packing + cost.server)[len(costs) // 2]


def _table(name: str, costs: Sequence[Cost], floor: dict[str, float]) -> Table:
    cost = _middle(costs)
    gigabytes = cost.stored / 1e9
    client = sum(seconds for part, seconds in floor.items() if part != "server")
    total, least = cost.parent + cost.packing + cost.server, sum(floor.values())
    rows = [
        ("parent", f"{cost.parent / gigabytes:.2f}", ""),
        ("packing processes, and their start", f"{cost.packing / gigabytes:.2f}", ""),
        ("client", f"{(cost.parent + cost.packing) / gigabytes:.2f}", f"{client / gigabytes:.2f}"),
        *((f"… {part}", "", f"{seconds / gigabytes:.2f}") for part, seconds in floor.items() if part != "server"),
        ("server", f"{cost.server / gigabytes:.2f}", f"{floor['server'] / gigabytes:.2f}"),
        ("all", f"{total / gigabytes:.2f}", f"{least / gigabytes:.2f}"),
        ("all beside the parts", f"{total / least:.2f}", "1.00"),
        ("peak PSS, MB", f"{max(each.peak for each in costs) / 1e6:.0f}", ""),
        ("wall s (median)", f"{median(each.wall for each in costs):.2f}", ""),
    ]
    return Table((f"{name}, {gigabytes:.3f} GB of archive: {HEADINGS[0]}", *HEADINGS[1:]), rows)


def _bars(name: str, cost: Cost, floor: dict[str, float]) -> dict[str, dict[str, float]]:
    gigabytes = cost.stored / 1e9
    backup = {"parent": cost.parent, "packing": cost.packing, "server": cost.server}
    return {
        f"{which}:\n{name}": {part: seconds / gigabytes for part, seconds in bar.items()}
        for which, bar in (("backup", backup), ("parts alone", floor))
    }


if __name__ == "__main__":
    main()
