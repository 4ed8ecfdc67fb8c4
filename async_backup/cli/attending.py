"""Hooks and pings around a run, as the command line's settings have it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from async_backup.errors import BackupError
from async_backup.hooks.attend import Attendance
from async_backup.hooks.context import Surroundings
from async_backup.hooks.model import HookSettings
from async_backup.hooks.ping import PingUrl
from async_backup.remote.naming import RunId
from async_backup.ui.json_lines import line_of
from async_backup.ui.summary import summary
from async_backup.ui.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backup.model import Report


def attendance(
    hooks: Mapping[str, object], ping: str | None, *, destinations: Sequence[object], profile: str = ""
) -> Attendance:
    """What goes along with a run: the table of hooks as TOML gives it, and a monitor's URL; raises SettingsError."""
    around = Surroundings(
        run=str(RunId.of_this_process()),
        profile=profile,
        destinations=tuple(str(destination) for destination in destinations),
        environment=dict(os.environb),
        summarize=_summary,
    )
    return Attendance(around, line_of, HookSettings.parsed(hooks), PingUrl.parsed(ping) if ping else None)


def _summary(ending: Report | BackupError) -> str:
    return f"error: {one_line(ending)}" if isinstance(ending, BackupError) else "\n".join(summary(ending))
