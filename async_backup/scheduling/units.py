"""The text of a systemd service and its timer. Nothing is written or run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backup.scheduling.confinement import system_confinement, user_confinement
from async_backup.scheduling.quoting import exec_line, literal, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_backup.scheduling.model import Job

PREFIX: Final = "async-backup-"
MARK: Final = "# Made by `async-backup schedule install`, which replaces this file"


def unit_name(profile: str) -> str:
    """Without `.service` and `.timer`; the names of profiles need no escapes in it."""
    return PREFIX + profile


def service_unit(job: Job, *, is_user: bool) -> str:
    """The service of a job; raises SettingsError where a path cannot stand in it."""
    network = [] if is_user else ["Wants=network-online.target", "After=network-online.target"]
    confinement = user_confinement(job) if is_user else system_confinement(job)
    return _text(
        f"{MARK}: put changes into {unit_name(job.profile)}.service.d/*.conf",
        "[Unit]",
        f"Description=Backup of profile {job.profile}",
        "Documentation=man:async-backup(1)",
        *network,
        "",
        "[Service]",
        "Type=oneshot",
        "# A command runs only after the one before it has done all: where the backup was not complete (exit code 3)",
        "# or did not happen (1, 4), nothing is pruned, and the service counts as failed.",
        *(f"ExecStart={exec_line(command)}" for command in job.commands),
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in sorted(job.environment.items())),
        "# SIGTERM to the program alone: it ends its packing processes and removes what is unfinished, in seconds.",
        "KillMode=mixed",
        "TimeoutStopSec=30",
        "Nice=10",
        "IOSchedulingClass=idle",
        "",
        *confinement,
    )


def timer_unit(job: Job) -> str:
    """The timer of a job; raises SettingsError where its time cannot stand in it."""
    spread = [f"RandomizedDelaySec={job.spread}s"] if job.spread else []
    return _text(
        f"{MARK}: put changes into {unit_name(job.profile)}.timer.d/*.conf",
        "[Unit]",
        f"Description=Backup of profile {job.profile}, at its time",
        "",
        "[Timer]",
        f"OnCalendar={literal(job.when.calendar)}",
        "# A time that the machine slept through is made up for.",
        "Persistent=true",
        *spread,
        "",
        "[Install]",
        "WantedBy=timers.target",
    )


def _text(*lines: str) -> str:
    return "".join(f"{line}\n" for line in _single_blanks(lines))


def _single_blanks(lines: Iterable[str]) -> Iterable[str]:
    previous = ""
    for line in lines:
        if line or previous:
            yield line
        previous = line
