"""A real backup of the sample into a directory of its own, cut short when its time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from anyio import Event, move_on_after, sleep

from async_backup.backing_up import backup
from async_backup.benching.cpu import watched_cpu
from async_backup.benching.results import NotMeasured, WholeJob
from async_backup.errors import BackupError
from async_backup.events import Connected, EntryEnded, SegmentPacked, SegmentSent
from async_backup.model import Committed, Failed
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from async_backup.config import Settings
    from async_backup.events import Event as Happening

WHOLE = "the whole job"
MOST_PACKED = 1 << 30
"""Bytes that a job may put on the server's disk before it is cut short."""

_STOPPING = 6.0
"""Seconds for a backup that was asked to stop; then it is cancelled."""


class _Progress:
    """A listener that counts."""

    def __init__(self, enough: Event) -> None:
        self._enough = enough
        self._cpu_then = 0.0
        self._raw = self._packed = self.sent = self.committed = 0
        self.began = self.connected = self.last = time.monotonic()
        self.failure: BackupError | None = None

    def __call__(self, event: Happening) -> None:
        now = time.monotonic()
        match event:
            case Connected():
                self.connected = self.last = now
                self._cpu_then = time.process_time()
            case SegmentPacked(_, raw, packed):
                self._raw += raw
                self._packed += packed
            case SegmentSent(_, size):
                self.sent += size
                self.last = now
                if self.sent >= MOST_PACKED:
                    self._enough.set()
            case EntryEnded(Committed()):
                self.committed += 1
                self.last = now
            case EntryEnded(Failed(_, error)):
                self.failure = self.failure or error
            case _:
                pass

    @property
    def raw_sent(self) -> int:
        """Raw bytes of what the server has: the share of the packed ones that was sent."""
        return round(self._raw * min(1.0, self.sent / self._packed)) if self._packed else 0

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._cpu_then


async def measure_job(settings: Settings, seconds: float) -> WholeJob | NotMeasured:
    """Run the backup for at most about so many seconds. What it has stored stays where it is."""
    enough, is_whole = Event(), False
    progress = _Progress(enough)
    try:
        async with watched_cpu() as cpu, task_group() as tasks:
            tasks.start_soon(_stop_after, seconds, enough)
            with move_on_after(seconds + _STOPPING):
                report = await backup(settings, progress, stop=enough)
                is_whole = not report.is_interrupted
            tasks.cancel_scope.cancel()
    except BackupError as error:
        return NotMeasured(WHOLE, str(error))
    if not progress.raw_sent:
        return NotMeasured(WHOLE, str(progress.failure or f"nothing was stored in {seconds:.1f} seconds"))
    return WholeJob(
        settings.limits,
        progress.committed,
        progress.raw_sent,
        progress.sent,
        progress.last - progress.connected,
        progress.connected - progress.began,
        progress.cpu_seconds,
        cpu.seconds,
        cpu.busy,
        is_whole,
    )


async def _stop_after(seconds: float, enough: Event) -> None:
    await sleep(seconds)
    enough.set()
