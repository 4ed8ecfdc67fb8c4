"""How much there is to back up, counted beside a run by a process of its own that gives way to everything else.

It lists the entries of the sources first, then goes through those whose size is not known. What it finds is an
estimate: it never fails a run, and without it only the time that is left stays unknown.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from async_backup.archive.jobs import path_in
from async_backup.archive.selection import CACHE_TAG, Selection
from async_backup.last_run import place_of
from async_backup.model import Entry
from async_backup.scan import Source, scan_all

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

MOST_ENTRIES = 200_000
MOST_FILES = 5_000_000
MOST_SECONDS = 600.0
"""What is counted at most; beyond it sizes stay unknown."""

_BLOCK = 512
_MEMBER = 3 * _BLOCK
"""Bytes of tar for a member without its data: most have an extended header, since their times are exact."""

_PULSE = 0.5
"""Seconds between signs of life: writing is how the process learns that nobody reads any more."""

_START = "import sys; sys.path[0] = sys.argv[1]; from async_backup.counting import main; main()"
_MOST_AT_ONCE = 1 << 18
_GRACE = 1.0


class Counted(NamedTuple):
    """An entry that is there, by `place_of`, and its bytes of tar; None where they were not counted (yet)."""

    place: bytes
    size: int | None


class AllListed:
    """Every entry has been named."""


class AllCounted:
    """Nothing more will come."""


News = Counted | AllListed | AllCounted


@dataclass(frozen=True, slots=True)
class Counting:
    """What to count: the entries of `sources`, except the sizes of those whose places are in `known`."""

    sources: tuple[Source, ...]
    selection: Selection = field(default_factory=Selection)
    only: tuple[str, ...] = ()
    known: Collection[bytes] = ()


class Counter:
    """The process that counts. Nothing happens before `start`; `close` ends it."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._has_ended = False

    def start(self) -> None:
        """Start counting; where no process can be started, nothing is counted."""
        if self._process is None and not self._has_ended:
            with suppress(OSError), _task_file(self._counting) as task:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _START, str(Path(__file__).resolve().parent.parent)],
                    stdin=task,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                )
                os.set_blocking(self._out(self._process).fileno(), False)

    def news(self) -> list[News]:
        """What has been found since the last call; returns at once."""
        if self._process is None:
            return []
        try:
            data = os.read(self._out(self._process).fileno(), _MOST_AT_ONCE)
        except OSError:  # nothing yet
            return []
        if not data:
            self.close()
            return [AllCounted()]
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_news(line) for line in lines if line]

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process, self._has_ended = self._process, None, True
        if process is not None:
            process.kill()
            self._out(process).close()
            with suppress(subprocess.TimeoutExpired):  # a file system that does not answer holds it up, but not us
                process.wait(_GRACE)

    @staticmethod
    def _out(process: subprocess.Popen[bytes]) -> IO[bytes]:
        if process.stdout is None:
            raise RuntimeError("the process was started without a pipe")
        return process.stdout


@contextmanager
def _task_file(counting: Counting) -> Iterator[IO[bytes]]:
    """A nameless file, since a pipe would hold us up until the process reads it."""
    task = {
        "sources": [[os.path.abspath(source.path), os.fsdecode(source.directory)] for source in counting.sources],
        "patterns": counting.selection.patterns,
        "exclude_caches": counting.selection.exclude_caches,
        "one_file_system": counting.selection.one_file_system,
        "only": counting.only,
        "known": [os.fsdecode(place) for place in counting.known],
    }
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(task).encode())
        file.seek(0)
        yield file


def _news(line: bytes) -> News:
    match json.loads(line):
        case [str(place), int() | None as size]:
            return Counted(os.fsencode(place), size)
        case "listed":
            return AllListed()
    return AllCounted()


def main() -> None:
    """The process: its task comes from standard input, and news go to standard output, one a line."""
    os.nice(19)
    task = json.load(sys.stdin)
    sources = tuple(Source(Path(path), os.fsencode(directory)) for path, directory in task["sources"])
    selection = Selection(tuple(task["patterns"]), task["exclude_caches"], task["one_file_system"])
    known = {os.fsencode(place) for place in task["known"]}
    pulse = _Pulse()
    with suppress(BrokenPipeError, TooMuch):
        for news in count(Counting(sources, selection, tuple(task["only"]), known), pulse):
            pulse.say(_line(news))
    os._exit(0)


def _line(news: News) -> str:
    match news:
        case Counted(place, size):
            return json.dumps([os.fsdecode(place), size])
        case AllListed():
            return '"listed"'
    return '"counted"'


class TooMuch(Exception):
    """There is more than it is worth to count."""


class _Pulse:
    """Writes lines; raises BrokenPipeError soon after the last reader has gone, and TooMuch."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._files = 0

    def say(self, line: str) -> None:
        os.write(sys.stdout.fileno(), line.encode() + b"\n")

    def beat(self) -> None:
        """To be called for each file."""
        self._files += 1
        now = time.monotonic()
        if self._files > MOST_FILES or now - self._began > MOST_SECONDS:
            raise TooMuch
        if now - self._last > _PULSE:
            self._last = now
            self.say("")


def count(counting: Counting, pulse: _Pulse | None = None) -> Iterator[News]:
    """All entries without their sizes, then the sizes that are not known; raises TooMuch."""
    pulse = pulse or _Pulse()
    entries = []
    for item in scan_all(counting.sources, "", counting.selection, counting.only):
        if isinstance(item, Entry):
            entries.append(item)
            yield Counted(place_of(item), None)
            if len(entries) > MOST_ENTRIES:
                raise TooMuch
    yield AllListed()
    walk = _Walk(counting.selection, pulse)
    for entry in entries:
        if place_of(entry) not in counting.known:
            yield Counted(place_of(entry), walk.size_of(entry.path))
    yield AllCounted()


class _Walk:
    """Adds up trees; what cannot be read counts as nothing."""

    def __init__(self, selection: Selection, pulse: _Pulse) -> None:
        self._selection = selection
        self._pulse = pulse
        self._seen: set[tuple[int, int]] = set()

    def size_of(self, path: bytes) -> int:
        """Bytes of tar of the entry at `path`."""
        try:
            status = os.lstat(path)
        except OSError:
            return 0
        size = self._member(status)
        waiting = [(path, b"")] if stat.S_ISDIR(status.st_mode) else []
        while waiting:
            size += self._directory(*waiting.pop(), status.st_dev, waiting)
        return size

    def _directory(self, path: bytes, inside: bytes, device: int, waiting: list[tuple[bytes, bytes]]) -> int:
        size = 0
        try:
            with os.scandir(path) as listing:
                found: Sequence[os.DirEntry[bytes]] = list(listing)
        except OSError:
            return 0
        if self._selection.exclude_caches and any(entry.name == CACHE_TAG for entry in found):
            found = [entry for entry in found if entry.name == CACHE_TAG]
        for entry in found:
            self._pulse.beat()
            below = path_in(inside, entry.name)
            is_directory = entry.is_dir(follow_symlinks=False)
            if self._selection.excludes(below, is_directory=is_directory):
                continue
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                size += self._member(status)
                if is_directory and not (self._selection.one_file_system and status.st_dev != device):
                    waiting.append((entry.path, below))
        return size

    def _member(self, status: os.stat_result) -> int:
        """A further name of a file costs a header only, and a hole nothing."""
        if not stat.S_ISREG(status.st_mode) or not self._is_first(status):
            return _MEMBER
        data = min(status.st_size, status.st_blocks * _BLOCK) if _is_hollow(status) else status.st_size
        return _MEMBER + -(-data // _BLOCK) * _BLOCK

    def _is_first(self, status: os.stat_result) -> bool:
        if status.st_nlink == 1:
            return True
        before = len(self._seen)
        self._seen.add((status.st_dev, status.st_ino))
        return len(self._seen) > before


def _is_hollow(status: os.stat_result) -> bool:
    """Whether a file is sparse rather than compressed by its file system, which saves less."""
    return status.st_blocks * _BLOCK < status.st_size // 4
