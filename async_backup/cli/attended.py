"""A run with what goes along with it: the lock around it, hooks and a monitor beside it, files about it at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import Event
from platformdirs import user_state_path

from async_backup.backup import backup
from async_backup.cli.output import complain
from async_backup.errors import BackupError
from async_backup.hooks.attend import Attendance, attended
from async_backup.last_run import LastRun, state_file
from async_backup.locking import held, lock_name
from async_backup.stopping import unless_stopped
from async_backup.ui.metrics import Metrics
from async_backup.ui.page.writer import PageWriter

if TYPE_CHECKING:
    from pathlib import Path

    from async_backup.config import Settings
    from async_backup.events import Event as HappeningInRun
    from async_backup.events import Listener
    from async_backup.model import Report
    from async_backup.ui.run_file import RunFile


@dataclass(frozen=True, slots=True)
class Along:
    """Who goes along with a run, and how long another run of the same is waited for, in seconds."""

    attendance: Attendance
    lock_wait: int
    profile: str = ""
    files: tuple[RunFile, ...] = ()


def files_about(settings: Settings, metrics: Path | None, page: Path | None, profile: str) -> tuple[RunFile, ...]:
    """The files that are written at the end; raises SettingsError where one can never be."""
    files: list[RunFile] = []
    if metrics is not None:
        files.append(Metrics(metrics, profile, warn=complain))
    if page is not None:
        files.append(PageWriter(page, settings, profile, warn=complain))
    return tuple(files)


def sizes_file(settings: Settings, profile: str) -> Path:
    """Where the sizes of such a run are kept for the next one."""
    state = user_state_path("async-backup")
    return state_file(state, settings.sources, map(str, settings.destinations), profile or None)


async def backup_attended(settings: Settings, along: Along, listener: Listener, stop: Event) -> Report | None:
    """The report of the run; None where it was stopped while it waited for another one.

    Raises Locked, HookError where the hook `before` fails, and what `backup` raises.
    """
    begun = Event()
    sizes = LastRun(sizes_file(settings, along.profile), is_partial=bool(settings.only))

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
                return await backup(settings, _together(heard, sizes, *along.files), stop=stop)

    try:
        return await unless_stopped(stop, run, before=begun)
    except BackupError as error:
        for file in along.files:
            file.failed(error)
        raise


def _together(*listeners: Listener) -> Listener:
    def listen(event: HappeningInRun) -> None:
        for listener in listeners:
            listener(event)

    return listen


def _locks(settings: Settings, profile: str) -> list[str]:
    sources = [source.absolute() for source in settings.sources]
    return [
        lock_name(profile or None, sources, f"{destination} {destination.port or ''}")
        for destination in settings.destinations
    ]


def _names(settings: Settings) -> str:
    return ", ".join(map(str, settings.destinations))
