"""What the server does besides taking bytes: digests, and files that are flushed and renamed."""

from __future__ import annotations

import os
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from anyio import move_on_after

from async_backup.benching.results import NotMeasured, ServerDigest, SmallFiles
from async_backup.errors import RemoteError
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from async_backup.benching.site import Site
    from async_backup.remote.store import SftpStore

_MOST_TRIES = 4
_SURELY_DIGESTED = 2 << 20
_MOST_SMALL_FILES = 400
_MOST_ALONE = 20
_CONTENT = bytes(range(256)) * 16


async def digestible(
    store: SftpStore, site: Site, path: bytes, size: int, seconds: float, *, shells: int
) -> tuple[bytes, int]:
    """The file at `path` and its size, or a smaller one where the server would take longer for it than that.

    So many shells are started on the way: that is not what a digest takes. Raises RemoteError.
    """
    if size <= _SURELY_DIGESTED:
        await _at_once(shells, lambda: store.digest(path, size))
        return path, size
    smaller = site.place(b"digest")
    file = await store.create(smaller)
    try:
        await file.write_whole(os.urandom(_SURELY_DIGESTED))
    finally:
        await file.abandon()
    await _at_once(shells, lambda: store.digest(smaller, _SURELY_DIGESTED))
    began = time.monotonic()
    await store.digest(smaller, _SURELY_DIGESTED)
    expected = (time.monotonic() - began) * size / _SURELY_DIGESTED
    return (path, size) if expected < seconds else (smaller, _SURELY_DIGESTED)


async def _at_once(times: int, call: Callable[[], Coroutine[Any, Any, object]]) -> None:
    async with task_group() as tasks:
        for _ in range(times):
            tasks.start_soon(call)


async def measure_digest(
    store: SftpStore, path: bytes, size: int, *, at_once: int, seconds: float
) -> ServerDigest | NotMeasured:
    """The median of a few digests of a file of `size` bytes, or of groups of `at_once`."""
    what = "digest on the server" + (f", {at_once} at once" if at_once > 1 else "")
    times: list[float] = []
    used = set[str]()

    async def digest() -> None:
        used.add((await store.digest(path, size)).computed_by)

    end = time.monotonic() + seconds
    try:
        with move_on_after(seconds):
            while len(times) < _MOST_TRIES and (not times or time.monotonic() + times[-1] < end):
                began = time.monotonic()
                await _at_once(at_once, digest)
                times.append(time.monotonic() - began)
    except RemoteError as error:
        return NotMeasured(what, str(error))
    if not times:
        return NotMeasured(what, f"{size >> 10} KiB took more than {seconds:.1f} seconds")
    warm = times[1:] or times  # the first ones may have had their shells opened
    return ServerDigest(at_once, size, median(warm), " and ".join(sorted(used)), store.verification_reason)


async def measure_small_files(
    store: SftpStore, site: Site, *, at_once: int, seconds: float
) -> SmallFiles | NotMeasured:
    """Files a second with so many under way: created, written, flushed and renamed."""
    what = f"small files, {at_once} at once"
    most = _MOST_ALONE if at_once == 1 else _MOST_SMALL_FILES
    numbers, done, began = iter(range(most)), list[float](), time.monotonic()

    async def work() -> None:
        for number in _until(numbers, began + seconds):
            await _small_file(store, site.place(b"small-%d-%d" % (at_once, number)))
            done.append(time.monotonic())

    try:
        with move_on_after(seconds + 1):
            async with task_group() as tasks:
                for _ in range(at_once):
                    tasks.start_soon(work)
    except RemoteError as error:
        return NotMeasured(what, str(error))
    if not done:
        return NotMeasured(what, f"not one was stored in {seconds:.1f} seconds")
    return SmallFiles(at_once, len(done), done[-1] - began)


def _until(numbers: Iterator[int], end: float) -> Iterator[int]:
    for number in numbers:
        yield number
        if time.monotonic() >= end:
            return


async def _small_file(store: SftpStore, path: bytes) -> None:
    file = await store.create(path + b".part")
    try:
        await file.write_whole(_CONTENT)
    except BaseException:
        await file.abandon()
        raise
    await store.rename(path + b".part", path)
