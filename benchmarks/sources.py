"""What is backed up: trees that follow from a seed alone, so that everybody measures the same ones.

Text of 3,000 words whose frequencies fall as those of a language do, and noise: together igzip makes about half of it.
"""

from __future__ import annotations

import math
import os
from functools import cache
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

WORDS = 3_000
POOL = 8 << 20
NOISE_SHARE = 0.2
FILES_A_DIRECTORY = 40
LARGEST = 7 << 20
SPREAD = 1.8
"""Of the logarithm of files' sizes: many small ones, few large ones, as in /usr."""

ENTRIES = (25, 20, 15, 12, 10, 8, 6, 4)
"""Percent of the files in each of the entries of a tree."""


class Amount(NamedTuple):
    """What a source holds: regular files and their bytes."""

    files: int
    size: int


def make_tree(root: Path, files: int, size: int, *, seed: int = 1) -> Amount:
    """`files` files of about `size` bytes in all, in eight entries of different size, 40 in a directory."""
    random, text, noise = Random(seed), _text(seed), Random(seed).randbytes(POOL)
    mean = math.log(size / files) - SPREAD**2 / 2
    total = 0
    for number in range(files):
        length = min(LARGEST, int(random.lognormvariate(mean, SPREAD)))
        pool = noise if random.random() < NOISE_SHARE else text
        start = random.randrange(POOL - length)
        _place(root, number, files).write_bytes(pool[start : start + length])
        total += length
    return Amount(files, total)


def _place(root: Path, number: int, files: int) -> Path:
    percent = number * 100 // files
    entry = next(index for index, end in enumerate(accumulate(ENTRIES)) if percent < end)
    group, directory = number // (FILES_A_DIRECTORY * 20), number // FILES_A_DIRECTORY % 20
    parent = root / f"entry-{entry}" / f"group-{group:04d}" / f"directory-{directory:02d}"
    parent.mkdir(parents=True, exist_ok=True)
    return parent / f"file-{number:07d}.dat"


@cache
def _text(seed: int) -> bytes:
    random = Random(seed)
    words = [bytes(random.choices(b"etaoinshrdlucmfwypvbgkqjxz", k=random.randint(2, 11))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(WORDS)))
    return b" ".join(random.choices(words, cum_weights=weights, k=POOL // 6))[:POOL].ljust(POOL, b".")


def make_noise(root: Path, count: int, size: int) -> Amount:
    """`count` files of `size` bytes each that do not compress, each an entry."""
    root.mkdir(parents=True, exist_ok=True)
    block = Random(1).randbytes(64 << 20)  # longer than a segment: no compressor sees it twice
    for number in range(count):
        with (root / f"noise-{number}.bin").open("wb") as file:
            for offset in range(0, size, len(block)):
                file.write(block[: size - offset])
    return Amount(count, count * size)


def make_entries(root: Path, count: int, files: int = 5, size: int = 2000) -> Amount:
    """`count` entries of `files` small files of text each."""
    text, random = _text(1), Random(2)
    for number in range(count):
        entry = root / f"entry-{number:05d}"
        entry.mkdir(parents=True)
        for name in range(files):
            start = random.randrange(POOL - size)
            (entry / f"file-{name}.txt").write_bytes(text[start : start + size])
    return Amount(count * files, count * files * size)


def make_files(root: Path, count: int, size: int = 100, *, in_one: int = 1000) -> Amount:
    """`count` files of `size` bytes in one entry, `in_one` in a directory."""
    for number in range(count):
        directory = root / "entry" / f"d{number // in_one:04d}"
        if number % in_one == 0:
            directory.mkdir(parents=True)
        (directory / f"file-{number:07d}").write_bytes(b"x" * size)
    return Amount(count, count * size)


def read_once(root: Path) -> Amount:
    """Read every regular file, so that all who come find it in memory."""
    sizes = [_read(os.path.join(where, name)) for where, _, names in os.walk(root) for name in names]
    known = [size for size in sizes if size is not None]
    return Amount(len(known), sum(known))


def _read(path: str) -> int | None:
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass
        return file.tell()
