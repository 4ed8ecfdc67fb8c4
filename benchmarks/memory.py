"""How much memory does a backup take at its peak, with few files and with many, with small ones and a huge one?

    python -m benchmarks.memory [--files 500000] [--size 8G] [--work DIRECTORY]

Peak PSS (memory shared by processes counted once) of this program's whole process tree, sampled from
/proc/PID/smaps_rollup, at default settings, on a local sshd. The huge file does not compress; it needs twice its
size on the disk of --work.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from async_backup.config import parse_size
from tests.processes import descendants
from tests.sshd import Sshd, running_sshd

_PAUSE = 0.1
_FILES_A_DIRECTORY = 1000


def pss(pid: int) -> int:
    """Bytes; 0 for a process that has just ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


def peak_of(source: Path, server: Sshd, target: Path) -> tuple[int, float]:
    """Peak PSS of a backup of `source`, in bytes, and its wall seconds."""
    access = ["--key", str(server.key), "--known-hosts", str(server.known_hosts), "-q"]
    command = [sys.executable, "-m", "async_backup", "run", str(source), "--to", server.destination(target), *access]
    begin, peak = time.monotonic(), 0
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak = max(peak, sum(pss(pid) for pid in [process.pid, *descendants(process.pid)]))
        time.sleep(_PAUSE)
    if process.returncode:
        raise SystemExit(f"the backup of {source} ended with status {process.returncode}")
    return peak, time.monotonic() - begin


def make_files(source: Path, count: int, each: int) -> None:
    """`count` files of 100 bytes in one entry, `each` in a directory."""
    for number in range(count):
        directory = source / "entry" / f"d{number // each:04d}"
        if number % each == 0:
            directory.mkdir(parents=True)
        (directory / f"file-{number:07d}").write_bytes(b"x" * 100)


def make_huge(source: Path, size: int) -> None:
    source.mkdir()
    block = os.urandom(64 << 20)  # longer than a segment: no compressor sees it twice
    with (source / "huge").open("wb") as file:
        for offset in range(0, size, len(block)):
            file.write(block[: size - offset])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500_000)
    parser.add_argument("--size", type=parse_size, default=parse_size("8G"))
    parser.add_argument("--work", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        sources = Path(work)
        make_files(sources / "few", 1000, _FILES_A_DIRECTORY)
        make_files(sources / "many", arguments.files, _FILES_A_DIRECTORY)
        make_files(sources / "one-directory", arguments.files, arguments.files)
        make_huge(sources / "huge", arguments.size)
        with running_sshd(sources / "server") as server:
            print(f"{'source':15} {'peak PSS MB':>12} {'wall s':>8}")
            for name in ("few", "many", "one-directory", "huge"):
                peak, seconds = peak_of(sources / name, server, server.directory / name)
                print(f"{name:15} {peak / 1e6:12.0f} {seconds:8.1f}")


if __name__ == "__main__":
    main()
