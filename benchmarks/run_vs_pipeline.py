"""How fast is a run beside what one would do without it, on the same tree and server, in the same minutes?

usage: python -m benchmarks.run_vs_pipeline [--source /usr] [--runs 3] [--peers igzip,zstd,pigz,gzip,script]
           [--without-ours] [--json FILE] [--keep]

A local sshd takes all archives. The peers take turns (A B C A B C), so that a machine that gets slower is fair
to all of them; the slow ones, gzip and script, run once. Only this program syncs what it stored to the disk.
Each peer's first archives are checked to be readable, outside the time taken.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import ServerClock, measured
from benchmarks.peers import PEERS, ours, versions
from benchmarks.report import Report, Run, as_json, as_table
from tests.sshd import running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.peers import Peer
    from tests.sshd import Sshd

READ_SIZE = 1 << 20


def main() -> None:
    options = _options()
    competitors = _competitors(options.peers, with_ours=not options.without_ours)
    with _scratch(keep=options.keep) as base, running_sshd(base / "server") as server:
        _say(f"reading {options.source} once, so that all find it in memory ...")
        files, size = _warmed(options.source)
        runs = list(_rounds(competitors, options.source, server, options.runs, keep=options.keep))
    report = Report(
        command=shlex.join([Path(sys.executable).name, "-m", "benchmarks.run_vs_pipeline", *sys.argv[1:]]),
        machine=f"{_processor()}, {os.cpu_count()} CPUs, {platform.platform()}",
        source=str(options.source),
        files=files,
        size=size,
        versions=versions([peer.name for peer in competitors]),
        runs=runs,
    )
    _say(as_table(report))
    if options.json:
        options.json.write_text(as_json(report))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=Path("/usr"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", type=lambda names: [name for name in names.split(",") if name], default=[*PEERS])
    parser.add_argument("--without-ours", action="store_true", help="time the peers alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE as well")
    parser.add_argument("--keep", action="store_true", help="leave archives and logs where they are")
    return parser.parse_args()


def _competitors(names: Sequence[str], *, with_ours: bool) -> list[Peer]:
    """Raises SystemExit if one is unknown or cannot be started on this machine."""
    if unknown := [name for name in names if name not in PEERS]:
        raise SystemExit(f"unknown peers {', '.join(unknown)}; there are {', '.join(PEERS)}")
    competitors = [ours()] * with_ours + [PEERS[name] for name in names]
    if missing := [f"{peer.name} needs {program}" for peer in competitors for program in peer.missing()]:
        raise SystemExit("; ".join(missing))
    return competitors


@contextlib.contextmanager
def _scratch(*, keep: bool) -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="run_vs_pipeline-"))
    try:
        yield base
    finally:
        if keep:
            _say(f"kept: {base}")
        else:
            shutil.rmtree(base)


def _warmed(source: Path) -> tuple[int, int]:
    """Read every regular file once; how many there are and their bytes."""
    sizes = [_read(Path(root) / name) for root, _, names in os.walk(source) for name in names]
    known = [size for size in sizes if size is not None]
    return len(known), sum(known)


def _read(path: Path) -> int | None:
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb", buffering=0) as file:
        while file.read(READ_SIZE):
            pass
        return file.tell()


def _rounds(competitors: Sequence[Peer], source: Path, server: Sshd, rounds: int, *, keep: bool) -> Iterator[Run]:
    for number in range(1, rounds + 1):
        for peer in competitors:
            if number == 1 or not peer.slow:
                run = _timed(peer, number, source, server)
                _say(f"  round {number}: {run.peer:12} {run.wall:7.2f} s")
                _after(peer, number, server, keep=keep)
                yield run


def _timed(peer: Peer, number: int, source: Path, server: Sshd) -> Run:
    """One run into a directory of its own. Raises SystemExit if it fails, for then there is nothing to compare."""
    directory = _directory(peer, number, server)
    directory.mkdir()
    log = directory.with_suffix(".log")
    os.sync()  # what the run before left to be written would slow this one down
    clock = ServerClock(server.pid)
    result = measured(peer.command(source, server, directory), log=log)
    if result.status not in peer.tolerated:
        raise SystemExit(f"{peer.name} ended with status {result.status}:\n{log.read_text(errors='replace')[-2000:]}")
    if result.status:
        _say(f"  note: {peer.name} ended with status {result.status}: {log.read_text(errors='replace')[-300:]}")
    archives = _archives(peer, directory)
    stored = sum(archive.stat().st_size for archive in archives)
    return Run(peer.name, peer.description, result.wall, result.cpu, clock.seconds(), len(archives), stored)


def _directory(peer: Peer, number: int, server: Sshd) -> Path:
    return server.directory / f"{peer.name}-{number}"


def _archives(peer: Peer, directory: Path) -> list[Path]:
    return sorted(directory.rglob(f"*{peer.suffix}"))


def _after(peer: Peer, number: int, server: Sshd, *, keep: bool) -> None:
    directory = _directory(peer, number, server)
    if number == 1:
        subprocess.run([*peer.check, *_archives(peer, directory)], check=True)
    if not keep:
        shutil.rmtree(directory)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
