"""Temporary names that tell whose they are, so that the next run can remove what a dead one left.

`.NAME.HOST-BOOT-PID-START-TOKEN-TIME.part`: which machine, which start of it, which process and when that began, and
when the name was made. It is left over when its process is gone; one of another machine, when it is a week old and
nobody wrote to it for a week.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from async_backup.config import NAME_LIMIT

FOREIGN_AGE = 7 * 24 * 3600
"""Seconds of a name's age, and without a write, after which a temporary file of another machine counts as left over."""

_PATTERN = re.compile(
    rb"\..*\.([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]+)-([0-9a-f]+)-[0-9a-f]{8}(?:-([0-9a-f]+))?\.part", re.DOTALL
)
_START_FIELD = 19
"""Position of `starttime` in /proc/PID/stat behind the command's closing parenthesis (proc(5), field 22)."""


_NUMBERS = 1 << 32
_numbers = count(secrets.randbelow(_NUMBERS))
"""Of the temporary names of this process, from anywhere on."""


@dataclass(frozen=True, slots=True)
class RunId:
    """Who writes: machine, its boot, process, and the start of that in clock ticks since the boot."""

    host: str
    boot: str
    pid: int
    start: int

    @classmethod
    def of_this_process(cls) -> Self:
        return cls(_host(), _boot(), os.getpid(), _start_of(os.getpid()) or 0)

    def __str__(self) -> str:
        return f"{self.host}-{self.boot}-{self.pid:x}-{self.start:x}"

    def temporary_name(self, name: bytes) -> bytes:
        """A new name beside `name`, never the same twice, not longer than a file system takes."""
        tag = f".{self}-{next(_numbers) % _NUMBERS:08x}-{int(time.time()):x}.part".encode()
        return b"." + name[: NAME_LIMIT - 1 - len(tag)] + tag

    def is_left_over(self, name: bytes, age: float) -> bool:
        """Whether `name` is a temporary one whose run is dead; `age` is seconds since the last write to it."""
        match = _PATTERN.fullmatch(name)
        if match is None:
            return False
        host, boot = match[1].decode(), match[2].decode()
        if host != self.host:
            return min(age, time.time() - int(match[5] or b"0", 16)) > FOREIGN_AGE  # a link is as old as its file
        return boot != self.boot or not _is_alive(int(match[3], 16), int(match[4], 16))


def is_temporary(name: bytes) -> bool:
    """Whether some run of this program gave this name to a file that it had not finished."""
    return _PATTERN.fullmatch(name) is not None


def _is_alive(pid: int, start: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    found = _start_of(pid)
    return found is None or found == start


def _start_of(pid: int) -> int | None:
    with suppress(OSError, IndexError, ValueError):
        text = Path(f"/proc/{pid}/stat").read_bytes()
        return int(text[text.rindex(b")") + 2 :].split()[_START_FIELD])
    return None


def _host() -> str:
    """The machine, and the space of its process numbers: a container counts as a machine of its own."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/etc/machine-id").read_text(encoding="ascii"))
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return _short_hash("|".join(parts))


def _boot() -> str:
    with suppress(OSError):
        return _short_hash(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    return _short_hash("")


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
