"""A small tree to back up, and the comparison of what came back."""

from __future__ import annotations

import hashlib
import os
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PARAGRAPH = "Every entry of a source becomes one archive that tar can open.\n"


def make_sample(root: Path) -> None:
    """Three entries under the new directory `root`: texts, a large file, and the corners of file systems."""
    photos, notes, corners = root / "photos", root / "notes", root / "corners"
    for directory in (photos, notes / "2026", corners / "empty"):
        directory.mkdir(parents=True)
    (photos / "large.raw").write_bytes(os.urandom(6 << 20))
    for number in range(200):
        (notes / "2026" / f"note-{number:03d}.txt").write_text(_PARAGRAPH * (number + 1))
    (corners / "a name with spaces, 'quotes' and a \n line break").write_text("still one file\n")
    (corners / "first").write_text("one content, two names\n")
    os.link(corners / "first", corners / "second")
    (corners / "pointer").symlink_to("first")
    os.mkfifo(corners / "fifo")


def extract(archive: Path, target: Path) -> None:
    """Unpack with Python's tarfile, which knows nothing of segments and indexes."""
    with tarfile.open(archive, "r:gz") as tar:
        tar.extractall(target, filter="tar")


def differences(one: Path, other: Path) -> list[str]:
    """The relative paths at which two trees differ in type, content, link target or time."""
    first, second = _listing(one), _listing(other)
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def _listing(root: Path) -> dict[str, tuple[object, ...]]:
    paths = [root, *root.rglob("*")] if root.is_dir() and not root.is_symlink() else [root]
    return {os.path.relpath(path, root): _described(path) for path in paths}


def _described(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    if path.is_symlink():
        return "link", os.readlink(path)
    if path.is_file():
        with path.open("rb") as file:
            return "file", status.st_size, status.st_mtime_ns // 1000, hashlib.file_digest(file, "sha256").digest()
    return "directory" if path.is_dir() else "special", status.st_mode
