"""What a scheduled backup may not do, as far as that hides and changes nothing of what is to be backed up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from async_backup.scheduling.quoting import quoted

if TYPE_CHECKING:
    from async_backup.scheduling.model import Job

_TEMPORARY = ("/tmp", "/var/tmp")

_HOOKS_WRITE = (
    "# The profile has hooks, which may have to write somewhere (a dump, a snapshot): only the system itself is",
    "# read-only, and they may use any system call and capability.",
    "ProtectSystem=full",
)

_ALWAYS = (
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
)

_WITHOUT_HOOKS = (
    "# AF_NETLINK: the resolver asks which addresses this machine has.",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces=yes",
    "SystemCallFilter=@system-service",
    "SystemCallErrorNumber=EPERM",
)

_SYSTEM = (
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelTunables=yes",
)
"""Not ProtectKernelModules, which hides /usr/lib/modules from a backup of it; without CAP_SYS_MODULE none is loaded."""

_CAPABILITIES = (
    "# It reads everything (DAC_READ_SEARCH), leaves access times alone (FOWNER), writes metrics and reports into",
    "# directories of others (DAC_OVERRIDE), and sees trusted.* extended attributes (SYS_ADMIN).",
    "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_FOWNER CAP_DAC_OVERRIDE CAP_SYS_ADMIN",
)


def user_confinement(job: Job) -> list[str]:
    """For the manager of a user: what needs no user namespace."""
    return [
        "# ProtectSystem, PrivateTmp and the like are left out on purpose: in a service of a user they bring a user",
        "# namespace, where files of other users and groups seem to be nobody's, as they would then in the archives.",
        *_ALWAYS,
        *(() if job.has_hooks else _WITHOUT_HOOKS),
    ]


def system_confinement(job: Job) -> list[str]:
    """For the manager of the system, where root reads everybody's files."""
    hidden_tmp = _hidden_from(job, *_TEMPORARY)
    return [
        *(_HOOKS_WRITE if job.has_hooks else _read_only(job, needs_tmp=hidden_tmp)),
        _private("PrivateTmp", is_wanted=not hidden_tmp),
        _private("PrivateDevices", is_wanted=not _hidden_from(job, "/dev")),
        *_ALWAYS,
        *_SYSTEM,
        *(() if job.has_hooks else (*_WITHOUT_HOOKS, *_CAPABILITIES)),
    ]


def _read_only(job: Job, *, needs_tmp: bool) -> list[str]:
    writable = [*job.writes, *(Path(directory) for directory in _TEMPORARY if needs_tmp)]
    return [
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        *(f"ReadWritePaths={quoted(f'-{path}')}" for path in writable),
    ]


def _private(setting: str, *, is_wanted: bool) -> str:
    return f"{setting}=yes" if is_wanted else f"# {setting} is left out: it would hide a part of what is backed up."


def _hidden_from(job: Job, *directories: str) -> bool:
    """Whether an empty directory in place of one of these would be missing in the backup."""
    return any(_overlap(source, Path(directory)) for source in job.reads for directory in directories)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
