"""The parts of a backup, each measured alone in CPU seconds: what their sum is cannot be had for less.

    python -m benchmarks.floor TREE

prints them as JSON. `cost` runs it in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from async_backup.archive import pack as packing
from async_backup.archive.gzip import compress_member
from async_backup.archive.plan import Planner, PlanRules
from async_backup.config import Limits
from async_backup.heap import keep_freed_memory
from benchmarks.measure import cpu_here

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKET = 32 << 10
LEVEL = 1


class Parts:
    """CPU seconds of each part, of the tree `tree`, whose entries become archives; and the bytes of these."""

    def __init__(self) -> None:
        self.seconds = {"read, headers, index": 0.0, "deflate": 0.0, "SHA-256": 0.0, "MD5": 0.0, "AES-GCM": 0.0}
        self.stored = 0

    def add_tree(self, tree: Path) -> None:
        for entry in sorted(os.listdir(tree)):
            for raw in self._gathered(tree, entry):
                self._add_segment(raw)

    def _gathered(self, tree: Path, entry: str) -> Iterator[bytes]:
        """The raw segments; planning and reading are timed where they happen, between two of them."""
        raws: list[bytes] = []
        size = Limits().segment_size

        def keep(raw: bytes, _: int) -> bytes:
            raws.append(raw)
            return b""

        with patch.object(packing, "compress_member", keep):
            jobs = Planner(bytes(tree), os.fsencode(entry), PlanRules(size)).jobs()
            while True:
                begin = cpu_here()
                job = next(jobs, None)
                if job is not None:
                    packing.pack(bytes(tree), job, segment_size=size, level=LEVEL)
                self.seconds["read, headers, index"] += cpu_here() - begin
                if job is None:
                    return
                yield raws.pop()

    def _add_segment(self, raw: bytes) -> None:
        times = [cpu_here()]
        member = compress_member(raw, LEVEL)
        times.append(cpu_here())
        hashlib.sha256(member).digest()
        times.append(cpu_here())
        hashlib.md5(member, usedforsecurity=False).digest()
        times.append(cpu_here())
        _encrypt(member)
        times.append(cpu_here())
        for name, begin, end in zip(("deflate", "SHA-256", "MD5", "AES-GCM"), times, times[1:], strict=False):
            self.seconds[name] += end - begin
        self.stored += len(member)


def _encrypt(data: bytes) -> None:
    cipher, view, nonce = AESGCM(bytes(16)), memoryview(data), bytes(12)  # no secret: nothing leaves this process
    for start in range(0, len(data), PACKET):
        cipher.encrypt(nonce, view[start : start + PACKET], None)


def main(tree: str) -> None:
    keep_freed_memory()  # as every packing process does
    parts = Parts()
    parts.add_tree(Path(tree))
    json.dump({"seconds": parts.seconds, "stored": parts.stored}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
