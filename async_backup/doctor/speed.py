"""The steps that measure: round trip, connections and channels, rate."""

from __future__ import annotations

import hashlib
import os
import time
from statistics import median
from typing import TYPE_CHECKING

from anyio import Lock, move_on_after, sleep, to_thread

from async_backup.doctor.findings import failed, ok, seconds, skipped, warning
from async_backup.doctor.model import Step
from async_backup.doctor.sizing import TARGET, most_rate, suggest
from async_backup.errors import BackupError, RemoteError
from async_backup.remote import steps
from async_backup.remote.base import READBACK
from async_backup.remote.order import Order, order_of
from async_backup.remote.pool import Pool
from async_backup.remote.rate import RateLimit
from async_backup.remote.reading import StripedReader
from async_backup.remote.striped import new_file
from async_backup.tasks import task_group
from async_backup.text import size

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from async_backup.doctor.model import Finding
    from async_backup.doctor.patient import Patient
    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.connection import Connection
    from async_backup.remote.ssh.handle import Handle
    from async_backup.remote.striped import StripedFile

_REQUESTS = 9
_FAR = 0.005
"""Seconds of a round trip below which more channels gain nothing."""

_BLOCK = 256 << 10
_WRITERS_A_CHANNEL = 9
_LEAST, _MOST = 1 << 20, 64 << 20
_DURATION = 2.0
"""Seconds that the upload should take; with the first block as the measure, and within those bounds in bytes."""

_DEADLINE = 8.0
"""Seconds after which no further block is sent or asked for."""

_ORDERS = {
    Order.ONE_HANDLE: "A file cannot be opened a second time there (see AllowOverwrite of ProFTPD),",
    Order.IN_ORDER: "The server takes a file only from its beginning to its end,",
}
_SHARE_OF_SPACE = 10
_CLOSING_GRACE = 1.0
_FILLING_PATIENCE, _GLANCE = 10.0, 0.01


async def measure_round_trip(patient: Patient) -> Finding:
    """The median of some requests that the server answers at once."""
    channel, took = await patient.channel(), []
    for _ in range(_REQUESTS + 1):
        began = time.monotonic()
        await channel.exists(b".")
        took.append(time.monotonic() - began)
    trip = median(took[1:])
    limits = patient.settings.limits
    patient.learn(round_trip=trip)
    channels = limits.connections * limits.channels
    found = f"{seconds(trip)} (median of {_REQUESTS}, from {seconds(min(took[1:]))} to {seconds(max(took[1:]))})"
    if trip < _FAR:
        return ok(Step.ROUND_TRIP, found, "A near server: waiting for answers costs nothing.")
    each, together = most_rate(trip, 1), most_rate(trip, channels)
    meaning = f"A channel carries at most {size(each)}/s, {channels} channels {size(together)}/s."
    if together >= TARGET:
        return ok(Step.ROUND_TRIP, found, meaning)
    better = suggest(trip, limits.connections, limits.channels)
    options = f"--connections {better.connections} --channels {better.channels}"
    return warning(Step.ROUND_TRIP, found, meaning, f"If the line is faster than that, use {options}.")


async def count_sessions(patient: Patient) -> Finding:
    """How many connections, and channels on each, the server accepts, one after the other."""
    limits = patient.settings.limits
    first = await patient.connection()
    opened: list[Channel] = []
    refusal = await _open_channels(first, limits.channels - 1, opened)
    channels = 1 + len(opened)
    more, lost = await _more_connections(patient, limits.connections - 1, channels)
    for channel in opened:
        channel.discard()
    connections = 1 + more
    patient.learn(connections=connections, channels=channels)
    found = f"{connections} of {limits.connections} accepted, with {channels} of {limits.channels} channels on each"
    if channels == limits.channels and connections == limits.connections:
        has_shell = patient.shell is not None and patient.learnt.verification != READBACK
        return ok(Step.SESSIONS, found, "Beside the channels each connection has room for a shell." * has_shell)
    advice = "MaxSessions in sshd_config, or SFTPMaxChannels of ProFTPD, counts channels and a shell; it may be raised."
    if lost:
        advice = "MaxStartups, maxlogins, MaxClientsPerHost, fail2ban or PerSourcePenalties may limit them there."
    return warning(Step.SESSIONS, f"{found} ({lost or refusal})", "`run` makes do with those.", advice)


async def _open_channels(connection: Connection, number: int, opened: list[Channel]) -> str:
    """Open up to so many; returns why one was refused."""
    for _ in range(number):
        try:
            opened.append(await connection.open_channel())
        except RemoteError as error:
            return str(error)
    return ""


async def _more_connections(patient: Patient, number: int, channels: int) -> tuple[int, str]:
    """How many of so many connections, all open at once, could be made, and what ended that."""
    made: list[Connection] = []
    try:
        for _ in range(number):
            made.append(await patient.dialer.dial())
            refusal = await _open_channels(made[-1], channels, [])
            if refusal:
                return len(made) - 1, refusal
    except BackupError as error:
        return len(made), str(error)
    finally:
        await _close(made)
    return len(made), ""


async def _close(connections: list[Connection]) -> None:
    """Hang up in order, but without waiting long."""
    with move_on_after(_CLOSING_GRACE, shield=True):
        for connection in connections:
            await connection.close()
    for connection in connections:
        connection.abort()


async def measure_rate(patient: Patient) -> Finding:
    """Write bytes that cannot be compressed to a file of ours, as a backup does, read them back, and remove it."""
    if not patient.is_removing_allowed:
        return skipped(Step.RATE, "a file that is written for it could not be removed again")
    free = patient.learnt.free
    if free is not None and free < _SHARE_OF_SPACE * _MOST:
        return skipped(Step.RATE, f"only {size(free)} are free")
    learnt = patient.learnt
    connections, channels = learnt.connections or 1, learnt.channels or 1
    timeout = patient.settings.ssh.timeout
    path = await patient.new_name()
    patient.litter.note_file(path)
    await patient.hang_up()
    pool = Pool(patient.dialer, connections=connections, channels=channels, retries=1, timeout=timeout)
    async with pool.opened(with_shell=False):
        await _filled(pool, connections * channels)
        order = await order_of(await pool.channel(), path)
        await patient.litter.remove_file(await pool.channel(), path)
        patient.litter.note_file(path)
        trial = _Trial(pool, path, connections * channels, order)
        is_same = await trial.run()
        await patient.litter.remove_file(await pool.channel(), path)
    patient.learn(upload=trial.upload, download=trial.download)
    return _judged(patient, trial, is_same=is_same)


async def _filled(pool: Pool, channels: int) -> None:
    """Wait for the channels that are opened in the background, or what is measured would be their opening."""
    with move_on_after(_FILLING_PATIENCE):
        while len(pool.usable_channels()) < channels:  # noqa: ASYNC110  (no event tells)
            await sleep(_GLANCE)


def _judged(patient: Patient, trial: _Trial, *, is_same: bool) -> Finding:
    flushed = ", flushed to the disk" if "fsync" in patient.extensions else ""
    found = f"{size(trial.upload)}/s up{flushed}, {size(trial.download)}/s down ({size(trial.size)})"
    if not is_same:
        meaning = "Bytes change on the way to the disk of the server; archives would fail their verification."
        return failed(Step.RATE, f"{found}, but other bytes came back", meaning, "Check disk and memory of the server.")
    hour = size(trial.upload * 3600)
    meaning = f"An hour holds about {hour} of archives, if this machine packs as fast."
    if trial.order is not Order.ANY:
        return ok(Step.RATE, found, f"{meaning} {_ORDERS[trial.order]} so each archive uses one channel.")
    if patient.learnt.round_trip and trial.upload > most_rate(patient.learnt.round_trip, trial.channels) / 2:
        return ok(Step.RATE, found, meaning, "The round trip may be the limit: try more --connections.")
    return ok(Step.RATE, found, meaning)


class _Trial:
    """An upload and a download through as many channels as a backup would use."""

    def __init__(self, pool: Pool, path: bytes, channels: int, order: Order) -> None:
        self._pool = pool
        self._path = path
        self.channels = channels
        self.order = order
        self._sent: dict[int, bytes] = {}
        self._deadline = 0.0
        self.upload = self.download = 0.0
        self.size = 0

    async def run(self) -> bool:
        """Measure; returns whether the bytes that came back are those that were sent."""
        handle, is_in_order = await self._create(), self.order is Order.IN_ORDER
        file = new_file(self._pool, handle, is_in_order=is_in_order, rate=RateLimit(None), retries=1)
        try:
            await self._upload(file)
        finally:
            await file.abandon()
        handle, size = await steps.open_regular(await self._pool.channel(), self._path)
        reader = StripedReader(self._pool, handle, size=size, retries=1)
        try:
            return await self._download(reader)
        finally:
            await reader.close()

    async def _create(self) -> Handle:
        return await steps.create(await self._pool.channel(), self._path, was_tried=False)

    async def _upload(self, file: StripedFile) -> None:
        async def send(offset: int) -> None:
            block = os.urandom(_BLOCK)
            self._sent[offset] = hashlib.blake2b(block).digest()
            await file.write(offset, block)

        began = time.monotonic()
        await send(0)
        first = time.monotonic() - began
        wanted = min(_MOST, max(_LEAST, int(_BLOCK / max(first, 1e-6) * self.channels * _DURATION)))
        began = time.monotonic()
        await self._each(iter(range(_BLOCK, wanted, _BLOCK)), send)
        await file.finish()
        self.size = len(self._sent) * _BLOCK
        self.upload = (self.size - _BLOCK) / (time.monotonic() - began)

    async def _download(self, reader: StripedReader) -> bool:
        differing = read = 0
        turn = Lock()

        async def fetch(offset: int) -> None:
            nonlocal differing, read
            block = await reader.read(offset, _BLOCK)
            async with turn:
                read += len(block)
                differing += await to_thread.run_sync(lambda: hashlib.blake2b(block).digest()) != self._sent[offset]

        began = time.monotonic()
        await self._each(iter(sorted(self._sent)), fetch)
        self.download = read / (time.monotonic() - began)
        return not differing

    async def _each(self, offsets: Iterator[int], work: Callable[[int], Awaitable[None]]) -> None:
        deadline = time.monotonic() + _DEADLINE

        async def go_on() -> None:
            for offset in offsets:
                await work(offset)
                if time.monotonic() > deadline:
                    return

        async with task_group() as tasks:
            for _ in range(self.channels * _WRITERS_A_CHANNEL):
                tasks.start_soon(go_on)
