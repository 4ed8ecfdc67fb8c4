"""One run at a time: flock(2) on files in the state directory, so that a lock ends with the process that holds it.

The files are never removed: removing one while another process opens it would let two hold "the same" lock. There
are as many of them as there are names.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import datetime
from platform import node
from typing import TYPE_CHECKING, NamedTuple

from anyio import current_time, sleep

from async_backup.errors import Locked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
    from pathlib import Path

_LOOK_AGAIN = 0.5
"""Seconds between attempts to get a lock that somebody holds."""

_READABLE = 4096
"""Bytes of what a holder says about itself that are read."""

_HELD = (errno.EWOULDBLOCK, errno.EACCES)


class Holder(NamedTuple):
    """What a process says about itself in the lock file that it holds; `since` is local time with its offset."""

    pid: int
    since: datetime
    what: str
    host: str


def lock_name(profile: str | None, sources: Iterable[os.PathLike[str]], destination: str) -> str:
    """A file name for the lock on a profile, or without one on the sources in any order, and a destination."""
    subject = [profile] if profile is not None else sorted({os.path.realpath(source) for source in sources})
    key = json.dumps([profile is not None, subject, destination])
    start = re.sub(r"[^A-Za-z0-9_.-]", "_", profile or "run")[:40].lstrip(".")
    return f"{start}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.lock"


@asynccontextmanager
async def held(
    directory: Path, names: Collection[str], *, what: str, wait: float = 0, tell: Callable[[str], None]
) -> AsyncIterator[None]:
    """Hold the locks `names` in `directory`, which is made if missing, for as long as the block lasts.

    No process started meanwhile inherits them. A lock that another process holds is waited for up to `wait` seconds,
    which `tell` is told once; it can be cancelled. `what` says to others what is being done, such as `nightly to
    nas:/backup`. Raises Locked, with none of the locks held.

    Where no lock can be had at all (a read-only file system, no room), `tell` gets a warning and the block runs: two
    runs at once leave each other's archives alone, but a backup that does not happen cannot be restored.
    """
    give_up = current_time() + wait
    with ExitStack() as locks:
        for name in sorted(set(names)):  # in one order, so that no two processes wait for each other
            lock = locks.enter_context(_opened(directory, name, tell))
            if lock is not None:
                await _obtain(lock, what, wait=wait, give_up=give_up, tell=tell)
        yield


async def _obtain(lock: int, what: str, *, wait: float, give_up: float, tell: Callable[[str], None]) -> None:
    is_waiting = False
    while not _obtained(lock, what, tell):
        left = give_up - current_time()
        if left <= 0:
            raise Locked(_refusal(lock, what, wait))
        if not is_waiting:
            is_waiting = True
            tell(f"{_under_way(lock, what)}; waiting for it, {wait:g} s at most")
        await sleep(min(_LOOK_AGAIN, left))


def _refusal(lock: int, what: str, wait: float) -> str:
    if wait:
        return f"{_under_way(lock, what)}, still after {wait:g} s; nothing was done"
    return f"{_under_way(lock, what)}; nothing was done (--lock-wait 10m would wait for its end)"


def _under_way(lock: int, what: str) -> str:
    holder = _holder(lock)
    if holder is None:
        return f"another run of {what} has just begun"
    where = "" if holder.host == node() else f" on {holder.host}"
    since = f"{holder.since:%Y-%m-%d %H:%M:%S}"
    return f"another run of {holder.what} has been under way since {since}, process {holder.pid}{where}"


@contextmanager
def _opened(directory: Path, name: str, tell: Callable[[str], None]) -> Iterator[int | None]:
    """The descriptor of a lock file, whose lock ends with the block; None where it cannot be opened."""
    path = directory / name
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        tell(_warning(str(path), error))
        yield None
        return
    try:
        yield lock
    finally:
        os.close(lock)


def _obtained(lock: int, what: str, tell: Callable[[str], None]) -> bool:
    """Whether there is nothing to wait for any more: the lock is ours, or this file system has no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        tell(_warning("the lock file", error))
        return True
    with suppress(OSError):  # a full disk: the lock holds, only nobody learns whose it is
        _introduce(lock, what)
    return True


def _warning(what: str, error: OSError) -> str:
    return f"warning: {what} cannot be locked ({error.strerror}); another run of the same would not be noticed"


def _introduce(lock: int, what: str) -> None:
    said = {"pid": os.getpid(), "since": datetime.now().astimezone().isoformat(), "what": what, "host": node()}
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(said).encode(), 0)


def _holder(lock: int) -> Holder | None:
    """Who holds a lock, as far as it has said so already: what a dead process left there does not count."""
    try:
        said = json.loads(os.pread(lock, _READABLE, 0))
        holder = Holder(int(said["pid"]), datetime.fromisoformat(said["since"]), str(said["what"]), str(said["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return holder if holder.host != node() or _is_alive(holder.pid) else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
