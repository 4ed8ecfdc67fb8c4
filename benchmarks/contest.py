"""Peers against each other on the same source and server, in turns: a machine that gets slower is fair to all."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measure import ServerClock, measured
from benchmarks.report import Table, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.measure import Measured
    from benchmarks.peers import Peer
    from tests.sshd import Sshd

HEADINGS = ("peer", "runs", "wall s", "least s", "client CPU s", "server CPU s", "stored MB", "beside ours")


@dataclass(frozen=True)
class Entrant:
    """A peer and what it backs up; `factor` says how much more the others have, where it would take too long."""

    peer: Peer
    source: Path
    factor: float = 1.0


@dataclass(frozen=True)
class Run:
    """One run: seconds on the clock, CPU seconds on either side, bytes stored; extrapolated where there is a factor."""

    entrant: Entrant
    wall: float
    client_cpu: float
    server_cpu: float
    stored: float

    @property
    def name(self) -> str:
        return self.entrant.peer.name


def present(peers: Iterable[Peer], chosen: Sequence[str] = ()) -> tuple[list[Peer], list[str]]:
    """Those that can be started here, and a note on each that cannot; the first one takes part in any case.

    Raises SystemExit where one that was chosen is not known.
    """
    known = list(peers)
    if unknown := set(chosen) - {peer.name for peer in known}:
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in known)}")
    wanted = [peer for peer in known if not chosen or peer.name in chosen or peer is known[0]]
    notes = [f"left out: {peer.name}, which needs {', '.join(gone)}" for peer in wanted if (gone := peer.missing())]
    return [peer for peer in wanted if not peer.missing()], notes


def rounds(entrants: Sequence[Entrant], server: Sshd, count: int, *, keep: bool = False) -> list[Run]:
    """`count` runs of each, the slow ones only once. What the first ones stored is read, outside the time taken.

    Raises SystemExit where one fails, for then there is nothing to compare.
    """
    return list(_rounds(entrants, server, count, keep=keep))


def _rounds(entrants: Sequence[Entrant], server: Sshd, count: int, *, keep: bool) -> Iterator[Run]:
    for number in range(1, count + 1):
        for entrant in entrants:
            if number == 1 or not entrant.peer.slow:
                directory = server.directory / f"{entrant.peer.name}-{server.port}-{number}"
                run = _timed(entrant, server, directory)
                say(f"  round {number}: {run.name:16} {run.wall:8.2f} s")
                if number == 1:
                    _check(entrant.peer, directory)
                if not keep:
                    shutil.rmtree(directory)
                yield run


def _timed(entrant: Entrant, server: Sshd, directory: Path) -> Run:
    peer, factor = entrant.peer, entrant.factor
    directory.mkdir()
    log = directory.with_suffix(".log")
    if peer.prepare:
        _expect(peer, measured(peer.prepare(entrant.source, server, directory), log=log), log)
    os.sync()  # what the run before left to be written would slow this one down
    clock = ServerClock(server.pid)
    result = measured(peer.command(entrant.source, server, directory), log=log)
    _expect(peer, result, log)
    files = [path.stat() for path in directory.rglob("*") if path.is_file()]
    stored = sum({status.st_ino: status.st_size for status in files}.values())  # of several names once
    return Run(entrant, result.wall * factor, result.cpu * factor, clock.seconds() * factor, stored * factor)


def _expect(peer: Peer, result: Measured, log: Path) -> None:
    if result.status not in peer.tolerated:
        raise SystemExit(f"{peer.name} ended with status {result.status}:\n{log.read_text(errors='replace')[-2000:]}")
    if result.status:
        say(f"  note: {peer.name} ended with status {result.status}: {log.read_text(errors='replace')[-300:]}")


def _check(peer: Peer, directory: Path) -> None:
    archives = sorted(directory.rglob(f"*{peer.suffix}"))
    if not archives:
        raise SystemExit(f"{peer.name} has stored nothing")
    for start in range(0, len(archives) if peer.check else 0, 500):
        subprocess.run([*peer.check, *archives[start : start + 500]], check=True)


def walls(runs: Sequence[Run]) -> dict[str, float]:
    """Median seconds on the clock of each peer, in the order in which they came."""
    return {name: median(run.wall for run in runs if run.name == name) for name in dict.fromkeys(r.name for r in runs)}


def table(runs: Sequence[Run]) -> Table:
    """Medians; the last column is the time beside the first peer's, which is this program."""
    medians = walls(runs)
    first = next(iter(medians.values()))
    return Table(HEADINGS, [_row([r for r in runs if r.name == name], wall, first) for name, wall in medians.items()])


def _row(runs: list[Run], wall: float, first: float) -> tuple[str, ...]:
    peer = runs[0].entrant.peer
    return (
        f"{peer.name}: {peer.description}{', extrapolated' if runs[0].entrant.factor > 1 else ''}",
        str(len(runs)),
        f"{wall:.2f}",
        f"{min(run.wall for run in runs):.2f}",
        f"{median(run.client_cpu for run in runs):.2f}",
        f"{median(run.server_cpu for run in runs):.2f}",
        f"{runs[-1].stored / 1e6:,.1f}",
        f"{wall / first:.2f}",
    )
