"""How long does the next backup take, of which little has changed, over a fast line and over a slow one?

    python -m benchmarks.next_night [--runs 3] [--append FILE.md]

A tree of 20,000 files, 375 MB, in eight entries, and one entry of 256 MiB that does not compress. Before the time is
taken each peer backs all of it up, and 20 files of two entries, and a piece of the large one, are written to. Slow is
10 MiB/s, by the limit that each program has of its own, and 20 ms. Restic and borg keep repositories of their own.
"""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from async_backup.linking import MARGIN
from benchmarks.contest import Entrant, present, rounds, table, walls
from benchmarks.options import add_peers, options_from, parser
from benchmarks.other_peers import borg, restic
from benchmarks.peers import ours
from benchmarks.plots import Bars
from benchmarks.report import Report, Table, publish
from benchmarks.rig import line, rig
from benchmarks.sources import make_noise, make_tree
from benchmarks.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers import Peer
    from tests.sshd import Sshd

NAME = "next_night"
CHANGE = "--change"
_PLACE = 1 << 20


class Speed(NamedTuple):
    """A line: milliseconds of its round trip, MiB a second."""

    name: str
    round_trip: float
    rate: int | None


SPEEDS = (Speed("fast", 0, None), Speed("slow", 20, 10))


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    add_peers(made)
    options = options_from(made, arguments)
    tables: list[Table] = []
    bars: dict[str, dict[str, float]] = {}
    with rig(options.scratch, keep=options.keep) as (base, server):
        source = base / "source"
        make_tree(source, *((200, 3_000_000) if options.small else (20_000, 375_000_000)))
        make_noise(source, 1, (4 << 20) if options.small else 256 << 20)
        time.sleep(0 if options.small else MARGIN + 1)  # what changed just before a run counts as changed after it
        for speed in SPEEDS:
            peers, notes = present(_peers(speed), options.peers)
            with line(server, speed.round_trip) as there:
                runs = rounds([Entrant(peer, source) for peer in peers], there, options.runs, keep=options.keep)
            found = table(runs)
            tables.append(Table((f"{found.headings[0]}, {speed.name} line", *found.headings[1:]), found.rows))
            bars |= {f"{name}, {speed.name}": {"wall": wall} for name, wall in walls(runs).items()}
    title = "The next backup, of which little has changed"
    publish(Report(NAME, title, tables, versions(peers), notes), Bars(title, "seconds", bars), options)


def _peers(speed: Speed) -> list[Peer]:
    rate = [] if speed.rate is None else ["--limit-rate", f"{speed.rate}MiB"]
    kibibytes = None if speed.rate is None else str(speed.rate * 1024)
    return [
        _again(ours(), "this program", "--link-unchanged", "--copy-unchanged", *rate),
        replace(_again(ours(), "this program, sending all", *rate), name="all-sent"),
        _again(restic(), "its second backup", *(["--limit-upload", kibibytes] if kibibytes else [])),
        _again(borg(), "its second backup", *(["--upload-ratelimit", kibibytes] if kibibytes else [])),
    ]


def _again(peer: Peer, what: str, *options: str) -> Peer:
    """The peer at its second backup of a source in which something was written since the first."""

    def first(source: Path, server: Sshd, directory: Path) -> list[str]:
        steps = [peer.prepare(source, server, directory)] if peer.prepare else []
        steps += [peer.command(source, server, directory), _change(source)]
        return ["bash", "-c", " && ".join(map(shlex.join, steps))]

    def second(source: Path, server: Sshd, directory: Path) -> list[str]:
        command = peer.command(source, server, directory)
        command = [word.replace("/repository::a", "/repository::b") for word in command]
        if command[:1] != ["env"]:
            return [*command, *options]
        program = next(place for place, word in enumerate(command) if word in {"restic", "borg"})
        return [*command[: program + 1], *options, *command[program + 1 :]]

    return replace(peer, command=second, prepare=first, description=" ".join([what, *options]))


def _change(source: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.next_night", CHANGE, str(source)]


def change(source: Path) -> None:
    """Write to 20 small files of two entries and to a place in the middle of the large one; the next second begins."""
    now = time.time_ns().to_bytes(8, "big")
    for entry in ("entry-3", "entry-6"):
        for path in sorted((source / entry).rglob("*.dat"))[::50][:10]:
            path.write_bytes(path.read_bytes()[:-8] + now)
    with (source / "noise-0.bin").open("r+b") as file:
        file.seek(_PLACE)
        file.write(now)
    time.sleep(1.1)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHANGE]:
        change(Path(sys.argv[2]))
    else:
        main()
