"""A destination in memory with small archives of ours, whole and otherwise."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from async_backup.archive_names import NameParser
from async_backup.checksum_files import checksum_line
from async_backup.config import DEFAULT_TIMESTAMP
from async_backup.remote.memory import MemoryStore
from tests.archives import make_archive

NAMES = NameParser()
BASE = b"/backups/"


@cache
def whole_archive() -> bytes:
    """An archive of the entry `wiki`: a directory with a file, as a run makes it."""
    with TemporaryDirectory() as name:
        source = Path(name)
        (source / "wiki").mkdir()
        (source / "wiki" / "page").write_text("text\n")
        return make_archive(source, b"wiki", source / "archive").data()


def at(day: int, month: int = 5) -> datetime:
    """A time in 2024."""
    return datetime(2024, month, day, 3, 15)


def archive_name(entry: str, when: datetime) -> bytes:
    return f"{entry}-{when:{DEFAULT_TIMESTAMP}}.tar.gz".encode("utf-8", "surrogateescape")


class Shelf(MemoryStore):
    """A store that is filled in few words; `names` are what is there."""

    def put_archive(
        self,
        entry: str,
        when: datetime,
        *,
        hashes: tuple[str, ...] = ("md5",),
        content: bytes | None = None,
        directory: bytes = b"",
    ) -> bytes:
        """Store an archive with its checksum files; returns its path in the destination."""
        name, data = archive_name(entry, when), whole_archive() if content is None else content
        if directory:
            self.directories.add(BASE + directory)
        path = directory + b"/" + name if directory else name
        self.put(BASE + path, data)
        for algorithm in hashes:
            self.put_checksum(path, algorithm, data)
        return path

    def put_checksum(self, path: bytes, algorithm: str = "md5", data: bytes | None = None) -> bytes:
        """Store a checksum file of ours for the archive at `path`, whether that is there or not."""
        digest = hashlib.new(algorithm, whole_archive() if data is None else data, usedforsecurity=False).hexdigest()
        checksum = path + b"." + algorithm.encode()
        self.put(BASE + checksum, checksum_line(digest, path.rpartition(b"/")[2]))
        return checksum

    @property
    def names(self) -> set[bytes]:
        return {path.removeprefix(BASE) for path in self.files}
