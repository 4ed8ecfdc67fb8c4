"""How much memory does a backup take at its peak, with few files and with many, with small ones and a huge one?

    python -m benchmarks.memory [--files 500000] [--size 8G] [--work DIRECTORY]

Peak PSS (memory shared by processes counted once) of this program's whole process tree, sampled from
/proc/PID/smaps_rollup, at default settings, on a local sshd. The huge file does not compress; it needs twice its
size on the disk of --work.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from async_backup.config import parse_size
from benchmarks.measure import measured
from benchmarks.peers import ours
from benchmarks.sources import make_files, make_noise
from tests.sshd import running_sshd

if TYPE_CHECKING:
    from tests.sshd import Sshd


def peak_of(source: Path, server: Sshd, target: Path) -> tuple[int, float]:
    """Peak PSS of a backup of `source`, in bytes, and its wall seconds."""
    log = target.with_suffix(".log")
    result = measured(ours().command(source, server, target), log=log, look_at_memory=True)
    if result.status:
        raise SystemExit(f"the backup of {source} ended with status {result.status}:\n{log.read_text()}")
    return result.peak, result.wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500_000)
    parser.add_argument("--size", type=parse_size, default=parse_size("8G"))
    parser.add_argument("--work", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        sources = Path(work)
        make_files(sources / "few", 1000)
        make_files(sources / "many", arguments.files)
        make_files(sources / "one-directory", arguments.files, in_one=arguments.files)
        make_noise(sources / "huge", 1, arguments.size)
        with running_sshd(sources / "server") as server:
            print(f"{'source':15} {'peak PSS MB':>12} {'wall s':>8}")
            for name in ("few", "many", "one-directory", "huge"):
                peak, seconds = peak_of(sources / name, server, server.directory / name)
                print(f"{name:15} {peak / 1e6:12.0f} {seconds:8.1f}")


if __name__ == "__main__":
    main()
