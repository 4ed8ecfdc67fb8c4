"""A small tree to back up, and the comparison of what came back."""

from __future__ import annotations

import hashlib
import os
import tarfile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_TIME_TOLERANCE_NS = 1000
_PARAGRAPH = "Every entry of a source becomes one archive that tar can open.\n"


class _Described(NamedTuple):
    """What has to come back; the time of files only, where tar readers set it alike."""

    content: tuple[str, object]
    mtime_ns: int = 0


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
        # Python 3.11.3 and older know no filters; from 3.14 on the usual one refuses the FIFO of the sample.
        if hasattr(tarfile, "tar_filter"):
            tar.extractall(target, filter="tar")
        else:
            tar.extractall(target)


def differences(one: Path, other: Path) -> list[str]:
    """The relative paths at which two trees differ in type, content, link target or time."""
    first, second = _listing(one), _listing(other)
    common = first.keys() & second.keys()
    return sorted((first.keys() ^ second.keys()) | {name for name in common if not _same(first[name], second[name])})


def _same(one: _Described, other: _Described) -> bool:
    """Python's tarfile keeps times in floats, which are off by up to a quarter of a microsecond today."""
    return one.content == other.content and abs(one.mtime_ns - other.mtime_ns) < _TIME_TOLERANCE_NS


def _listing(root: Path) -> dict[str, _Described]:
    paths = [root, *root.rglob("*")] if root.is_dir() and not root.is_symlink() else [root]
    return {os.path.relpath(path, root): _described(path) for path in paths}


def _described(path: Path) -> _Described:
    status = path.lstat()
    if path.is_symlink():
        return _Described(("link", os.readlink(path)))
    if path.is_file():
        with path.open("rb") as file:
            return _Described(("file", hashlib.file_digest(file, "sha256").digest()), status.st_mtime_ns)
    return _Described(("directory" if path.is_dir() else "special", status.st_mode))
