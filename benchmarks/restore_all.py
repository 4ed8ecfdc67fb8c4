"""How fast do 2,000 small entries come back beside `ssh cat | tar xzf -` for each, two at a time, over one connection?

usage: python -m benchmarks.restore_all [--entries 2000] [--runs 3] [--round-trip MS] [--scratch DIR]

2,000 directories of 5 files are backed up once. With a round trip the pipeline does 200 of them, and its time is
multiplied. What comes back is counted each time, outside the time taken.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measure import measured
from benchmarks.restore_vs_tar import PROGRAM
from benchmarks.rig import line
from benchmarks.sources import make_entries
from tests.sshd import running_sshd

if TYPE_CHECKING:
    from tests.sshd import Sshd

FILES = 5
FAR = 200
"""Entries that the pipeline restores over a round trip."""

PIPELINE = """
set -eo pipefail
ssh() { command ssh -q -S "$BASE/control" -p "$PORT" -i "$KEY" -o UserKnownHostsFile="$KNOWN" "$USER_AT" "$@"; }
export -f ssh
ssh -M -N -f -o ControlPersist=yes
mkdir "$TARGET"
ls "$DIRECTORY" | grep 'tar[.]gz$' | sed -n "1,${COUNT}p" |
    xargs -P2 -I{} bash -o pipefail -c 'ssh "cat $DIRECTORY/{}" | tar xzf - -C "$TARGET"'
ssh -O exit
"""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="restore-", dir=options.scratch) as scratch:
        base = Path(scratch)
        make_entries(base / "source", options.entries, FILES)
        with running_sshd(base / "server") as server, line(server, options.round_trip) as there:
            _run([PROGRAM, "run", str(base / "source"), "--to", server.destination(), "-q", *_access(server)])
            theirs = min(FAR, options.entries) if options.round_trip else options.entries
            print(f"round trip {options.round_trip:g} ms; medians of {options.runs} runs")
            ours = _time(there, base, options.runs, options.entries, _ours(there, base))
            pipeline = _time(there, base, options.runs, theirs, _pipeline(there, base, theirs))
    factor = options.entries / theirs
    told = "" if factor == 1 else f" (of {theirs}, multiplied)"
    print(f"{'async-backup restore --all':44} {ours[0]:8.2f} s, client CPU {ours[1]:6.2f} s")
    print(f"{'ssh cat | tar xzf -, two at a time' + told:44} {pipeline[0] * factor:8.2f} s", end="")
    print(f", client CPU {pipeline[1] * factor:6.2f} s: {pipeline[0] * factor / ours[0]:.1f} times as long")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--round-trip", type=float, default=0.0, metavar="MS")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="where archives and files lie")
    return parser.parse_args()


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)


def _access(server: Sshd) -> list[str]:
    return ["--key", str(server.key), "--known-hosts", str(server.known_hosts)]


def _ours(server: Sshd, base: Path) -> list[str]:
    target = str(base / "target")
    return [PROGRAM, "restore", server.destination(), "--all", "--to", target, "-q", *_access(server)]


def _pipeline(server: Sshd, base: Path, count: int) -> list[str]:
    settings = {
        "BASE": base,
        "PORT": server.port,
        "KEY": server.key,
        "KNOWN": server.known_hosts,
        "USER_AT": f"{server.user}@{server.host}",
        "TARGET": base / "target",
        "DIRECTORY": server.directory,
        "COUNT": count,
    }
    return ["env", *(f"{name}={value}" for name, value in settings.items()), "bash", "-c", PIPELINE]


def _time(server: Sshd, base: Path, runs: int, entries: int, command: list[str]) -> tuple[float, float]:
    """Seconds, and CPU seconds of the client."""
    found = []
    for _ in range(runs):
        result = measured(command, log=base / "log")
        files = sum(path.is_file() for path in (base / "target").rglob("*"))
        if result.status or files != entries * FILES:
            raise SystemExit(f"{command[0]} ended with {result.status}, {files} files:\n{(base / 'log').read_text()}")
        found.append((result.wall, result.cpu))
        shutil.rmtree(base / "target")
    return median(wall for wall, _ in found), median(cpu for _, cpu in found)


if __name__ == "__main__":
    main()
