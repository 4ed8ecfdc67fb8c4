"""What does planning and packing cost per member, before compression, beside `tarfile` and GNU tar?

    python -m benchmarks.archive_writer [TREE] [--rounds N]

CPU time, user and system, of everything that a peer runs, in microseconds per member. The tree is read once before,
so that it comes from the page cache; the peers take turns, and the best round of each counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from async_backup.archive import pack as packing
from async_backup.archive.plan import Planner, PlanRules
from async_backup.heap import keep_freed_memory
from benchmarks.measure import cpu_here

if TYPE_CHECKING:
    from collections.abc import Callable

SEGMENT = 4 << 20
GNU_TAR = 'tar --format=pax -cf - -C "$1" "$2" 2>/dev/null | cat >/dev/null'
"""Through a pipe: what would go to /dev/null directly, GNU tar does not even read. With pax it keeps what we keep."""


def ours(tree: Path) -> None:
    """Everything that happens before the compressor, index records included."""
    _segments(tree)


def only_planning(tree: Path) -> None:
    for _ in _planner(tree).jobs():
        pass


def python_tarfile(tree: Path) -> None:
    with Path(os.devnull).open("wb") as sink, tarfile.open(fileobj=sink, mode="w|") as tar:
        tar.add(tree, tree.name)


def gnu_tar(tree: Path) -> None:
    subprocess.run(["sh", "-c", GNU_TAR, "sh", str(tree.parent), tree.name], check=True)


PEERS: dict[str, Callable[[Path], None]] = {
    "ours": ours,
    "ours, planning alone": only_planning,
    "GNU tar | cat": gnu_tar,
    "tarfile": python_tarfile,
}


def _planner(tree: Path) -> Planner:
    return Planner(bytes(tree.parent), os.fsencode(tree.name), PlanRules(SEGMENT))


def _segments(tree: Path) -> list[packing.Packed]:
    """Pack all segments, one after another, with a compressor that does nothing."""
    with patch.object(packing, "compress_member", return_value=b""):
        jobs = _planner(tree).jobs()
        return [packing.pack(bytes(tree.parent), job, segment_size=SEGMENT, level=0) for job in jobs]


def cpu_of(peer: Callable[[Path], None], tree: Path) -> float:
    """CPU seconds of this process and of the children that it waited for."""
    before = cpu_here()
    peer(tree)
    return cpu_here() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", nargs="?", type=Path, default=Path("/usr/share"))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    keep_freed_memory()  # as every packing process does
    tree = arguments.tree.resolve()
    packed = _segments(tree)
    members, size = sum(part.members for part in packed), sum(part.raw_length for part in packed)
    rounds = [{name: cpu_of(peer, tree) for name, peer in PEERS.items()} for _ in range(arguments.rounds)]
    best = {name: min(each[name] for each in rounds) for name in PEERS}
    print(f"{tree}: {members:,} members, {size >> 20:,} MiB of tar; Python {sys.version.split()[0]}\n")
    print(f"{'peer':22} {'µs a member':>12} {'ratio':>7}")
    for name, seconds in best.items():
        print(f"{name:22} {seconds / members * 1e6:12.1f} {seconds / best['ours']:7.2f}")


if __name__ == "__main__":
    main()
