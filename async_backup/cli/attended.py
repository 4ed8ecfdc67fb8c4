"""A run with what goes along with it: the lock around it, hooks and a monitor beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import Event
from platformdirs import user_state_path

from async_backup.backup import backup
from async_backup.cli.output import complain
from async_backup.hooks.attend import Attendance, attended
from async_backup.locking import held, lock_name
from async_backup.stopping import unless_stopped

if TYPE_CHECKING:
    from async_backup.config import Settings
    from async_backup.events import Listener
    from async_backup.model import Report


@dataclass(frozen=True, slots=True)
class Along:
    """Who goes along with a run, and how long another run of the same is waited for, in seconds."""

    attendance: Attendance
    lock_wait: int
    profile: str = ""


async def backup_attended(settings: Settings, along: Along, listener: Listener, stop: Event) -> Report | None:
    """The report of the run; None where it was stopped while it waited for another one.

    Raises Locked, HookError where the hook `before` fails, and what `backup` raises.
    """
    begun = Event()

    async def run() -> Report:
        async with held(
            user_state_path("async-backup") / "locks",
            _locks(settings, along.profile),
            what=f"{along.profile or ', '.join(map(str, settings.sources))} to {_names(settings)}",
            wait=along.lock_wait,
            tell=complain,
        ):
            begun.set()
            async with attended(along.attendance, listener, stop) as heard:
                return await backup(settings, heard, stop=stop)

    return await unless_stopped(stop, run, before=begun)


def _locks(settings: Settings, profile: str) -> list[str]:
    sources = [source.absolute() for source in settings.sources]
    return [
        lock_name(profile or None, sources, f"{destination} {destination.port or ''}")
        for destination in settings.destinations
    ]


def _names(settings: Settings) -> str:
    return ", ".join(map(str, settings.destinations))
