"""All packing processes at work on the sample, with nobody to send what they pack."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import TYPE_CHECKING

from anyio import CapacityLimiter

from async_backup.benching.cpu import watched_cpu
from async_backup.benching.results import NotMeasured, Packing
from async_backup.errors import BackupError
from async_backup.model import Entry
from async_backup.scan import resolve_sources, scan_all
from async_backup.tasks import task_group
from async_backup.workers import open_workers, packing_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.config import Settings
    from async_backup.workers import Workers

PACKING = "packing"


async def measure_packing(settings: Settings, seconds: float) -> Packing | NotMeasured:
    """Pack entries of the sources of a backup, with its flags, until the time is up."""
    limits = settings.limits
    try:
        async with open_workers(limits.processes, limits.slots, packing_rules(settings)) as workers:
            await workers.start()
            async with watched_cpu() as cpu:
                packer = _Packer(workers, limits.workers, seconds)
                await packer.run(_entries(settings))
                cpu.look()
    except BackupError as error:
        return NotMeasured(PACKING, str(error))
    if not packer.size:
        return NotMeasured(PACKING, f"not a single segment was packed in {seconds:.1f} seconds")
    return Packing(limits.processes, packer.size, packer.packed, packer.seconds, cpu.seconds)


def _entries(settings: Settings) -> Iterator[Entry]:
    timestamp = settings.timestamp(datetime.now().astimezone())
    sources = resolve_sources(settings.sources, settings.only)
    found = scan_all(sources, timestamp, settings.selection, settings.only)
    return (item for item in found if isinstance(item, Entry))


class _Packer:
    """Packs entries, so many at once, and counts bytes until the time is up."""

    def __init__(self, workers: Workers, at_once: int, seconds: float) -> None:
        self._workers = workers
        self._turns = CapacityLimiter(at_once)
        self._began = time.monotonic()
        self._end = self._began + seconds
        self.size = self.packed = 0
        self.seconds = 0.0

    @property
    def _is_over(self) -> bool:
        return time.monotonic() >= self._end

    async def run(self, entries: Iterator[Entry]) -> None:
        async with task_group() as tasks:
            for entry in entries:
                await self._turns.acquire_on_behalf_of(entry)
                if self._is_over:
                    return
                tasks.start_soon(self._pack_entry, entry)

    async def _pack_entry(self, entry: Entry) -> None:
        plan = self._workers.new_plan(os.fsencode(entry.source))
        try:
            slot = await self._workers.slots.acquire()
            try:
                part = await plan.begin(entry.name, slot, hard_links=True)
            finally:
                slot.release()
            if part.whole is not None:
                self._note(part.whole.raw_length, part.whole.length)
            while part.whole is None and not self._is_over:
                async with task_group() as tasks:
                    for job in part.jobs:
                        tasks.start_soon(self._pack_job, plan.source, job)
                if part.is_complete or self._is_over:
                    break
                part = await plan.go_on()
            if part.whole is None and not part.is_complete:
                await plan.forget()
        finally:
            self._turns.release_on_behalf_of(entry)

    async def _pack_job(self, source: bytes, job: bytes) -> None:
        slot = await self._workers.slots.acquire()
        try:
            if not self._is_over:
                packed = await self._workers.pack(source, job, slot)
                self._note(packed.raw_length, packed.length)
        finally:
            slot.release()

    def _note(self, raw: int, packed: int) -> None:
        self.size += raw
        self.packed += packed
        self.seconds = time.monotonic() - self._began
