"""Measurements for tests, with nothing in them but what the test is about."""

from __future__ import annotations

from async_backup.benching.results import (
    Compression,
    Packing,
    Reading,
    RoundTrip,
    ServerDigest,
    SmallFiles,
    Upload,
    WholeJob,
)
from async_backup.config import Limits

MIB = 1 << 20


def job(
    rate: float,
    *,
    limits: Limits | None = None,
    entries: int = 4,
    ratio: float = 0.5,
    seconds: float = 10.0,
    parent: float = 1.0,
    packing: float | None = 5.0,
    busy: float | None = 0.3,
) -> WholeJob:
    """A backup of `rate` MiB of source a second."""
    size = round(rate * MIB * seconds)
    return WholeJob(
        limits or Limits(processes=2), entries, size, round(size * ratio), seconds, 0.5, parent, packing, busy, True
    )


def upload(connections: int, channels: int, rate: float) -> Upload:
    return Upload(connections, channels, round(rate * MIB), 1.0)


def packing(rate: float, *, processes: int = 2, cpu_seconds: float | None = 2.0, ratio: float = 0.5) -> Packing:
    return Packing(processes, round(rate * MIB), round(rate * MIB * ratio), 1.0, cpu_seconds)


def reading(rate: float, *, cpu_seconds: float = 1.0, cold: bool = True) -> Reading:
    return Reading(100, round(rate * MIB), 1.0, cpu_seconds, cold)


def round_trip(milliseconds: float) -> RoundTrip:
    return RoundTrip(10, milliseconds / 1000, milliseconds / 1000, milliseconds / 1000)


def digest(rate: float, *, at_once: int = 1) -> ServerDigest:
    return ServerDigest(at_once, round(rate * MIB / at_once), 1.0, "md5sum", "")


def small_files(at_once: int, a_second: float) -> SmallFiles:
    return SmallFiles(at_once, round(a_second * 10), 10.0)


def compression(level: int, rate: float, *, ratio: float) -> Compression:
    return Compression("any", level, round(rate * MIB), round(rate * MIB * ratio), 1.0)
