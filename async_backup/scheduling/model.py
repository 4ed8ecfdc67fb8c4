"""What is to run, when, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from async_backup.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class ScheduleError(BackupError):
    """systemd or cron is not there, or would not do what it was asked for."""


class When(NamedTuple):
    """`calendar` as systemd.time(7) has it, and the first five fields of a crontab line; None: cron cannot do it."""

    calendar: str
    fields: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """A profile's commands, each an absolute path and arguments, run one after the other as long as each succeeds.

    Attributes:
        spread: Seconds over which the start is spread at random.
        reads: Directories that are backed up.
        writes: Directories that the commands write to, the state directory among them.
        has_hooks: Whether they start commands of the user's, which may do anything.
        environment: What has to be as it is now.
    """

    profile: str
    commands: tuple[tuple[str, ...], ...]
    when: When
    spread: int = 0
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    has_hooks: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


class Status(NamedTuple):
    """Of one profile in one place: texts for people, empty where it is not known."""

    profile: str
    place: str
    next_run: str
    last_run: str
    result: str


class Part(NamedTuple):
    """A file, or a part of one, that an installation would write."""

    where: str
    text: str


class Scheduler(Protocol):
    """A place where schedules are kept. What talks to other programs raises ScheduleError."""

    def parts(self, job: Job) -> Sequence[Part]:
        """What `install` would write; raises SettingsError for what cannot be expressed here. Changes nothing."""

    def install(self, job: Job) -> None:
        """Write and enable it, in place of an earlier one of the profile; on error all is as it was before."""

    def remove(self, profile: str) -> bool:
        """Whether there was one."""

    def profiles(self) -> Sequence[str]:
        """Those that have a schedule here."""

    def status(self, profile: str) -> Status:
        """Of a profile that has a schedule here."""
