"""How fast bytes get to the server, by the number of channels: random ones, with nothing to wait for but the line."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from anyio import move_on_after, sleep

from async_backup.benching.results import NotMeasured, Upload
from async_backup.errors import BackupError, ConnectionDropped, RemoteError
from async_backup.remote import steps
from async_backup.remote.handles import close_quietly
from async_backup.remote.order import Order, order_of
from async_backup.remote.pool import Pool
from async_backup.remote.ssh.channel import OpenFlags
from async_backup.remote.ssh.dial import Dialer
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from async_backup.config import Destination, SshSettings
    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.connection import Connection
    from async_backup.remote.ssh.handle import Handle

REGION = 64 << 20
"""Bytes of the file that is written again and again: what a server's disk has to hold."""

_APART = 512 << 20
"""Bytes of all files together where each channel has to have its own, written from its beginning to its end."""

_FIRST_BURST = 32 << 10
_LARGEST_BURST = 4 << 20
_COMFORT = 0.5
"""Seconds that a burst may take beyond two round trips; a line that needs more is slow, and gets less at once."""

_BURSTS_UNDER_WAY = 4
_LEAST_PIECE = 8 << 10
_WARM_UP = 0.2
"""The share of a measurement that is not counted: until the line is full."""

_GRACE = 1.0
_SETTLED_AFTER = 1.0
"""Seconds without a new channel after which the server is taken to open no more."""


class Lanes(NamedTuple):
    """Channels side by side: so many connections with so many channels each."""

    connections: int
    channels: int

    def __str__(self) -> str:
        return f"{self.connections} x {self.channels} channels"


def candidates(own: Lanes, seconds: float) -> list[Lanes]:
    """What is worth comparing in the time that there is, from few to many: always one channel, and what is set."""
    by_worth = [Lanes(1, 1), own, Lanes(8, 4), Lanes(4, 4), Lanes(1, 4), Lanes(4, 2), Lanes(1, 2), Lanes(2, 2)]
    kept = list(dict.fromkeys(by_worth))[: max(2, int(seconds))]
    return sorted(kept, key=lambda lanes: (lanes.connections * lanes.channels, lanes))


class Uploads:
    """Measures one constellation of channels after another, on one file. Use `open_uploads`.

    Where the server does not let a file be written again, or opened more than once, each channel has a file of its own.
    """

    def __init__(self, pool: Pool, path: bytes, round_trip: float) -> None:
        self._pool = pool
        self._path = path
        self._round_trip = round_trip
        self._comfortable = _LARGEST_BURST
        self._data = os.urandom(_LARGEST_BURST)
        self._numbers: Iterator[int] | None = None
        """For the names of files, where each channel has its own."""

    async def prepare(self, seconds: float) -> None:
        """Create the file, and find out how much the line takes at once; raises RemoteError."""
        channel = await self._pool.channel()
        trial = self._path + b"-trial"
        self._numbers = None if await order_of(channel, trial) is Order.ANY else count()
        await steps.remove(channel, trial)
        handle = await channel.open(self._path, OpenFlags.CREATE)
        size, begin, end = _FIRST_BURST, 0, time.monotonic() + seconds
        while size <= _LARGEST_BURST and time.monotonic() < end:
            took = await self._burst(handle, begin, size)
            begin += size
            if took - 2 * self._round_trip > _COMFORT:
                self._comfortable = max(_FIRST_BURST, size // 2)
                break
            size *= 2
        await handle.close()

    async def _burst(self, handle: Handle, begin: int, size: int) -> float:
        began, step = time.monotonic(), handle.channel.chunk
        async with task_group() as tasks:
            for start in range(0, size, step):
                tasks.start_soon(handle.write, begin + start, self._data[start : min(size, start + step)])
        return time.monotonic() - began

    async def wait_for(self, most: Lanes, seconds: float) -> None:
        """Wait for channels that are opened in the background, until no more seem to come."""
        wanted, number = most.connections * most.channels, 0
        changed = began = time.monotonic()
        patience = max(_SETTLED_AFTER, 30 * self._round_trip)
        while number < wanted and time.monotonic() < min(began + seconds, changed + patience):
            await sleep(0.02)
            if len(self._pool.usable_channels()) != number:
                number, changed = len(self._pool.usable_channels()), time.monotonic()

    async def measure(self, lanes: Lanes, seconds: float) -> Upload | NotMeasured:
        """Write for so many seconds; raises ConnectionDropped."""
        what = f"upload through {lanes}"
        channels = self._chosen(lanes)
        if channels is None:
            return NotMeasured(what, "the server did not open so many, or not in time")
        room = self._comfortable * _BURSTS_UNDER_WAY
        if len(channels) > 1 and len(channels) * _LEAST_PIECE * 2 > room:
            return NotMeasured(what, "the line is slow: more channels would only make its queue longer")
        meter = _Meter(seconds)
        try:
            with move_on_after(seconds + _GRACE + 4 * self._round_trip):
                await self._write(channels, meter, room)
        except ConnectionDropped:
            raise
        except BackupError as error:
            return NotMeasured(what, str(error))
        size, took = meter.counted()
        return Upload(*lanes, size, took) if size else NotMeasured(what, f"no answer in {seconds:.1f} seconds")

    def _chosen(self, lanes: Lanes) -> list[Channel] | None:
        by_connection: dict[Connection, list[Channel]] = {}
        for channel in self._pool.usable_channels():
            by_connection.setdefault(channel.connection, []).append(channel)
        enough = [found for found in by_connection.values() if len(found) >= lanes.channels]
        if len(enough) < lanes.connections:
            return None
        return [channel for found in enough[: lanes.connections] for channel in found[: lanes.channels]]

    async def _write(self, channels: Sequence[Channel], meter: _Meter, room: int) -> None:
        share = room // len(channels)
        piece = max(_LEAST_PIECE, min(share // 2, *(channel.chunk for channel in channels)))
        targets = await self._targets(channels, piece)
        try:
            meter.start()
            async with task_group() as tasks:
                for handle, offsets in targets:
                    for _ in range(min(handle.channel.depth, max(1, share // piece))):
                        tasks.start_soon(self._write_on, handle, meter, piece, offsets)
        finally:
            async with task_group() as tasks:
                for handle, _ in targets:
                    tasks.start_soon(self._end, handle)

    async def _targets(self, channels: Sequence[Channel], piece: int) -> list[tuple[Handle, Iterator[int]]]:
        """An open file for each channel, and where in it to write next."""
        if self._numbers is None:
            offsets = (number * piece % (REGION - piece) for number in count())
            return [(await channel.open(self._path, OpenFlags.WRITE), offsets) for channel in channels]
        each = _APART // len(channels)
        return [
            (await channel.open(b"%b-%d" % (self._path, number), OpenFlags.CREATE), iter(range(0, each, piece)))
            for channel, number in zip(channels, self._numbers, strict=False)
        ]

    async def _write_on(self, handle: Handle, meter: _Meter, piece: int, offsets: Iterator[int]) -> None:
        data = self._data[:piece]
        while not meter.is_over and (offset := next(offsets, None)) is not None:
            await handle.write(offset, data)
            meter.note(piece)

    async def _end(self, handle: Handle) -> None:
        await close_quietly(handle)
        if handle.path != self._path:
            with suppress(RemoteError):  # it goes with its directory in the end
                await steps.remove(handle.channel, handle.path)

    async def size(self) -> int:
        """Bytes of the file; raises RemoteError."""
        return (await (await self._pool.channel()).entry(self._path)).size


class _Meter:
    """Counts what has arrived once the line is full."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._arrived: list[tuple[float, int]] = []
        self.start()

    def start(self) -> None:
        self._began = time.monotonic()

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self._began >= self._seconds

    def note(self, size: int) -> None:
        self._arrived.append((time.monotonic(), size))

    def counted(self) -> tuple[int, float]:
        """Bytes that arrived after the warm-up and the seconds for them; all of them where none did."""
        full = self._began + self._seconds * _WARM_UP
        late = [(moment, size) for moment, size in self._arrived if moment > full]
        before = [moment for moment, _ in self._arrived if moment <= full]
        if not before:
            late, before = self._arrived, [self._began]
        if not late:
            return 0, 0.0
        return sum(size for _, size in late), late[-1][0] - before[-1]


@asynccontextmanager
async def open_uploads(
    destination: Destination, ssh: SshSettings, most: Lanes, path: bytes, round_trip: float
) -> AsyncIterator[Uploads]:
    """Connections for as long as the block lasts; the file at `path` stays. Raises BackupError."""
    dialer = await Dialer.prepare(destination, ssh)
    pool = Pool(dialer, connections=most.connections, channels=most.channels, retries=0, timeout=ssh.timeout)
    async with pool.opened(with_shell=False):
        yield Uploads(pool, path, round_trip)
