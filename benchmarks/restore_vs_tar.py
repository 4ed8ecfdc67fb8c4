"""How fast is a restore beside `ssh cat | tar xzf -`, of the same archive from the same server, in the same minutes?

usage: python -m benchmarks.restore_vs_tar [--source /usr] [--runs 3] [--round-trip MS] [--scratch DIR]

A copy of the source is backed up once as one archive, and removed. All peers then restore it in turns into a directory
of their own, which is compared with the copy once (files and bytes), outside the time taken. With `--round-trip` all
go through `delay_proxy`, whose CPU is not counted, though it takes from what they have.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measure import Measured, ServerClock, measured
from benchmarks.rig import line
from tests.sshd import running_sshd

if TYPE_CHECKING:
    from tests.sshd import Sshd

PROGRAM = str(Path(sys.executable).with_name("async-backup"))
TAR, TAR_IGZIP, OURS = "ssh cat | tar xzf -", "ssh cat | igzip -d | tar xf -", "async-backup restore"


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="restore-", dir=options.scratch) as scratch:
        base = Path(scratch)
        with running_sshd(base / "server") as server, line(server, options.round_trip) as there:
            content = _back_up(options.source, server, base)
            results = _rounds(there, base, options.runs, content)
        _report(results, options.round_trip)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=Path("/usr"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--round-trip", type=float, default=0.0, metavar="MS")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="where archives and files lie")
    return parser.parse_args()


def _back_up(source: Path, server: Sshd, base: Path) -> tuple[int, int]:
    """Returns what has to come back, and leaves no more than that on the machine."""
    entry = base / "source" / "entry"
    entry.parent.mkdir()
    subprocess.run(["cp", "-a", str(source), str(entry)], check=True)
    access = ["--key", str(server.key), "--known-hosts", str(server.known_hosts)]
    subprocess.run([PROGRAM, "run", str(entry.parent), "--to", server.destination(), *access, "-q"], check=True)
    content = _content(entry)
    shutil.rmtree(entry)
    return content


def _command(peer: str, server: Sshd, target: Path) -> list[str]:
    if peer == OURS:
        destination = server.destination()
        access = ["--key", str(server.key), "--known-hosts", str(server.known_hosts)]
        return [PROGRAM, "restore", destination, "entry", "--to", str(target), "-p", "--outside-links", "-q", *access]
    options = ["-q", "-p", str(server.port), "-i", str(server.key), "-o", f"UserKnownHostsFile={server.known_hosts}"]
    archive = shlex.quote(str(next(server.directory.glob("entry-*.tar.gz"))))
    fetch = shlex.join(["ssh", *options, f"{server.user}@{server.host}", f"cat {archive}"])
    unpack = "tar xzf -" if peer == TAR else "igzip -dc | tar xf -"
    return ["bash", "-o", "pipefail", "-c", f"mkdir {shlex.quote(str(target))} && {fetch} | {unpack} -C {target}"]


def _rounds(server: Sshd, base: Path, runs: int, content: tuple[int, int]) -> dict[str, list[tuple[Measured, float]]]:
    peers = [TAR, *([TAR_IGZIP] if shutil.which("igzip") else []), OURS]
    results: dict[str, list[tuple[Measured, float]]] = {peer: [] for peer in peers}
    for number in range(runs):
        for peer in peers:
            target = base / "target"
            clock = ServerClock(server.pid)
            result = measured(_command(peer, server, target), log=base / "log")
            results[peer].append((result, clock.seconds()))
            if result.status:
                raise SystemExit(f"{peer} ended with status {result.status}:\n{(base / 'log').read_text()}")
            if number == 0 and _content(target / "entry") != content:
                raise SystemExit(f"{peer} did not restore what was there")
            shutil.rmtree(target)
    return results


def _content(root: Path) -> tuple[int, int]:
    """Files of all kinds, and bytes in the regular ones."""
    found = [path.lstat() for where, names, files in os.walk(root) for path in map(Path(where).joinpath, names + files)]
    return len(found), sum(status.st_size for status in found)


def _report(results: dict[str, list[tuple[Measured, float]]], round_trip: float) -> None:
    ours = median(result.wall for result, _ in results[OURS])
    print(f"round trip {round_trip:g} ms; medians of {len(results[OURS])} runs")
    print(f"{'peer':32} {'wall s':>7} {'client CPU s':>13} {'server CPU s':>13} {'beside ours':>12}")
    for peer, runs in results.items():
        wall = median(result.wall for result, _ in runs)
        cpu, server = median(result.cpu for result, _ in runs), median(seconds for _, seconds in runs)
        print(f"{peer:32} {wall:7.2f} {cpu:13.2f} {server:13.2f} {wall / ours:11.2f}x")


if __name__ == "__main__":
    main()
