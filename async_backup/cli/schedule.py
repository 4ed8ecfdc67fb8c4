"""`async-backup schedule install`, `status` and `remove`."""

from __future__ import annotations

import getpass
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from platformdirs import user_config_path

from async_backup.cli.execute import fail
from async_backup.cli.options import profile as from_profile  # noqa: TC001  (Typer reads the annotations)
from async_backup.cli.options import schedule as options  # noqa: TC001  (Typer reads the annotations)
from async_backup.cli.output import complain, say, say_result
from async_backup.cli.scheduled import job_of
from async_backup.cli.state import state_directory
from async_backup.durations import parse_seconds
from async_backup.errors import BackupError, SettingsError
from async_backup.scheduling.cron import Cron
from async_backup.scheduling.programs import is_there
from async_backup.scheduling.systemd import Systemd
from async_backup.scheduling.times import one_of
from async_backup.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.scheduling.model import Scheduler, Status

_BOOTED = Path("/run/systemd/system")
"""There where systemd runs this machine: sd_booted(3)."""

_SYSTEM_UNITS = Path("/etc/systemd/system")
_LINGERING = Path("/var/lib/systemd/linger")

schedule = typer.Typer(no_args_is_help=True, help="Run a profile by itself, at set times.")


@schedule.command()
def install(
    profile: options.Profile,
    config: from_profile.ConfigFile = None,
    daily: options.Daily = None,
    hourly: options.Hourly = False,
    weekly: options.Weekly = None,
    on_calendar: options.OnCalendar = None,
    randomized_delay: options.RandomizedDelay = "0",
    is_user: options.UserOrSystem = None,
    with_cron: options.CronOrSystemd = None,
    only_print: options.Print = False,
) -> None:
    """Have a profile run by itself: `run --profile NAME`, then `prune` if the profile has rules of what to keep.

    A timer of systemd, or a line of the crontab where there is no systemd. An earlier schedule of the profile is
    replaced.
    """
    with _errors():
        when = one_of(hourly=hourly, at=daily, week=weekly, calendar=on_calendar)
        job = job_of(profile, config, when, parse_seconds(randomized_delay))
        user = _is_user(is_user)
        scheduler = _scheduler(is_user, with_cron)
        parts = scheduler.parts(job)
        if only_print:
            say_result("\n".join(f"# {part.where}\n{part.text}" for part in parts).rstrip("\n"))
            return
        state_directory(is_made=True)  # a service may write to it only where it is there
        scheduler.install(job)
        _report(scheduler.status(profile))
    if user and isinstance(scheduler, Systemd) and not (_LINGERING / getpass.getuser()).exists():
        complain(f"note: it runs while you are logged in; for always: loginctl enable-linger {getpass.getuser()}")


@schedule.command()
def status(
    profile: options.AnyProfile = None,
    is_user: options.UserOrSystem = None,
    with_cron: options.CronOrSystemd = None,
) -> None:
    """When scheduled profiles run next, when they last ran, and how that ended."""
    with _errors():
        scheduler = _scheduler(is_user, with_cron)
        names = scheduler.profiles()
        if profile is not None and profile not in names:
            raise _not_scheduled(profile)
        for name in names if profile is None else [profile]:
            _report(scheduler.status(name))
        if not names:
            say("nothing is scheduled")


@schedule.command()
def remove(
    profile: options.Profile,
    is_user: options.UserOrSystem = None,
    with_cron: options.CronOrSystemd = None,
) -> None:
    """Take a profile's schedule away; a backup under way goes on."""
    with _errors():
        if not _scheduler(is_user, with_cron).remove(profile):
            raise _not_scheduled(profile)
        say(f"{shown(profile)}: no longer scheduled")


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except BackupError as error:
        fail(error, as_json=False)


def _not_scheduled(profile: str) -> SettingsError:
    return SettingsError(f"{profile!r} is not scheduled here (see --user, --system and --cron for other places)")


def _is_user(is_user: bool | None) -> bool:
    return os.geteuid() != 0 if is_user is None else is_user


def _scheduler(is_user: bool | None, with_cron: bool | None) -> Scheduler:
    """That of this machine, unless one is wanted: --user and --system are those of systemd."""
    if with_cron is None:
        with_cron = is_user is None and not (_BOOTED.is_dir() and is_there("systemctl"))
    if with_cron:
        return Cron()
    user = _is_user(is_user)
    return Systemd(user_config_path("systemd") / "user" if user else _SYSTEM_UNITS, is_user=user)


def _report(found: Status) -> None:
    say(f"{shown(found.profile)} ({shown(found.place)})")
    say(f"  next run: {shown(found.next_run) or 'not known'}")
    if found.last_run or found.result:
        say(f"  last run: {shown(found.last_run)}: {shown(found.result)}")
    elif found.place.startswith("crontab"):
        say("  last run: cron keeps no record; it mails what the run prints")
    else:
        say("  last run: none yet")
