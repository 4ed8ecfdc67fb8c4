"""A run with what goes along with it: the lock around it, hooks and a monitor beside it, files about it at the end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import Event

from async_backup.backing_up import backup
from async_backup.cli.output import complain
from async_backup.cli.state import state_directory
from async_backup.durations import parse_seconds
from async_backup.errors import BackupError
from async_backup.hooks.attend import Attendance, attended
from async_backup.hooks.context import Surroundings
from async_backup.hooks.model import HookSettings
from async_backup.hooks.ping import PingUrl
from async_backup.last_run import LastRun, state_file
from async_backup.locking import held, lock_name
from async_backup.remote.naming import RunId
from async_backup.stopping import unless_stopped
from async_backup.text import one_line
from async_backup.ui.json_lines import line_of
from async_backup.ui.summary import summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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


def going_along(
    settings: Settings,
    *,
    profile: str,
    hooks: Mapping[str, object],
    ping: str | None,
    lock_wait: str,
    metrics: Path | None,
    page: Path | None,
) -> Along:
    """From the options; hooks are as TOML gives them. Raises SettingsError, also where a file can never be written."""
    around = Surroundings(
        run=str(RunId.of_this_process()),
        profile=profile,
        destinations=tuple(map(str, settings.destinations)),
        environment=dict(os.environb),
        summarize=_summary,
    )
    attendance = Attendance(around, line_of, HookSettings.parsed(hooks), PingUrl.parsed(ping) if ping else None)
    return Along(attendance, parse_seconds(lock_wait), profile, tuple(_files(settings, profile, metrics, page)))


def _summary(ending: Report | BackupError) -> str:
    return f"error: {one_line(ending)}" if isinstance(ending, BackupError) else "\n".join(summary(ending))


def _files(settings: Settings, profile: str, metrics: Path | None, page: Path | None) -> Iterator[RunFile]:
    """The files that are written at the end; what makes them is loaded only where one is wanted."""
    if metrics is not None:
        from async_backup.ui.metrics import Metrics  # noqa: PLC0415

        yield Metrics(metrics, profile, warn=complain)
    if page is not None:
        from async_backup.ui.page.writer import PageWriter  # noqa: PLC0415

        yield PageWriter(page, settings, profile, warn=complain)


def sizes_file(settings: Settings, profile: str) -> Path:
    """Where the sizes of such a run are kept for the next one."""
    return state_file(state_directory(), settings.sources, map(str, settings.destinations), profile)


async def backup_attended(settings: Settings, along: Along, listener: Listener, stop: Event) -> Report | None:
    """The report of the run; None where it was stopped while it waited for another one.

    Raises Locked, HookError where the hook `before` fails, and what `backup` raises.
    """
    begun = Event()
    sizes = LastRun(sizes_file(settings, along.profile), is_partial=bool(settings.only))

    async def run() -> Report:
        async with held(
            state_directory() / "locks",
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
