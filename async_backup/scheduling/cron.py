"""Schedules as lines of the user's crontab, each between two comments; other lines are never changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from async_backup.errors import SettingsError
from async_backup.scheduling.model import Part, ScheduleError, Status
from async_backup.scheduling.programs import call, demand, is_there
from async_backup.scheduling.quoting import cron_command

if TYPE_CHECKING:
    from async_backup.scheduling.model import Job

_BEGIN = b"# BEGIN async-backup "
_END = b"# END async-backup "
_NO_CRONTAB = ("no crontab for", "No such file")
"""What the crons of Debian and others, and that of busybox, say where a user has none yet."""


class Cron:
    """The crontab of the user who runs this."""

    def parts(self, job: Job) -> list[Part]:
        """The lines."""
        return [Part("crontab", _block(job).decode())]

    def install(self, job: Job) -> None:
        """Put the lines of a job into the crontab, in place of earlier ones of its profile."""
        block = _block(job)
        demand("crontab", "-", given=with_block(_current(), job.profile, block))

    def remove(self, profile: str) -> bool:
        """Take the lines of a profile out of the crontab."""
        before = _current()
        after = with_block(before, profile, b"")
        if after != before:
            demand("crontab", "-", given=after)
        return after != before

    def profiles(self) -> list[str]:
        """Those that have lines."""
        return sorted(blocks(_current()))

    def status(self, profile: str) -> Status:
        """The next time; cron keeps no record of what has been."""
        line = blocks(_current())[profile]
        moment = next_time(line, datetime.now())
        place = "crontab: " + " ".join(line.split()[:5])
        return Status(profile, place, f"{moment:%a %Y-%m-%d %H:%M:%S}" if moment else "", "", "")


def with_block(crontab: bytes, profile: str, block: bytes) -> bytes:
    """The crontab with `block` in place of the lines of `profile`, at the end where it has none.

    Raises ScheduleError where a beginning has no end, so that nobody can tell what is whose.
    """
    lines = crontab.splitlines(keepends=True)
    found = _find(lines, profile)
    if found is not None:
        first, last = found
        return b"".join(lines[:first]) + block + b"".join(lines[last + 1 :])
    gap = b"\n" if block and crontab and not crontab.endswith(b"\n") else b""
    return crontab + gap + block


def blocks(crontab: bytes) -> dict[str, str]:
    """The line of each profile that has one."""
    lines = crontab.splitlines()
    names = [
        words[3].decode(errors="replace") for line in lines if line.startswith(_BEGIN) and (words := line.split())[3:]
    ]
    found = {name: _find(lines, name) for name in names}
    return {name: lines[place[0] + 1].decode(errors="replace") for name, place in found.items() if place}


def next_time(line: str, now: datetime) -> datetime | None:
    """When a line is due next, in local time; None where its fields are not such as are written here."""
    minute, hour, day, month, weekday = line.split()[:5]
    if (day, month) != ("*", "*") or not minute.isdecimal():
        return None
    step = timedelta(days=1) if hour.isdecimal() else timedelta(hours=1)
    moment = now.replace(hour=int(hour) if hour.isdecimal() else now.hour, minute=int(minute), second=0, microsecond=0)
    while moment <= now or (weekday.isdecimal() and moment.isoweekday() % 7 != int(weekday)):
        moment += step
    return moment


def _block(job: Job) -> bytes:
    if job.when.fields is None:
        raise SettingsError(
            "cron, which is used where systemd does not run, has no such times; use --daily, --hourly or --weekly, "
            "or --systemd"
        )
    if job.spread:
        raise SettingsError("cron cannot spread its starts; --randomized-delay needs systemd")
    line = f"{job.when.fields} {cron_command(tuple((*command, '-q') for command in job.commands))}"
    begin, end = (mark.decode() + job.profile for mark in (_BEGIN, _END))
    return f"{begin} (kept by `async-backup schedule`)\n{line}\n{end}\n".encode()


def _find(lines: list[bytes], profile: str) -> tuple[int, int] | None:
    """The places of the first and the last line of a profile."""
    name = profile.encode()
    begins = [place for place, line in enumerate(lines) if line.startswith(_BEGIN) and line.split()[3:4] == [name]]
    ends = [place for place, line in enumerate(lines) if line.startswith(_END) and line.split()[3:] == [name]]
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0] != begins[0] + 2:
        raise ScheduleError(
            f"in the crontab the lines of {profile} between '# BEGIN async-backup' and '# END async-backup' were "
            "changed; put them right with `crontab -e`, or take them out"
        )
    return begins[0], ends[0]


def _current() -> bytes:
    if not is_there("crontab"):
        raise ScheduleError("there is neither systemd nor a crontab program on this machine")
    done = call("crontab", "-l")
    if done.code == 0:
        return done.out
    if any(words in done.said for words in _NO_CRONTAB):
        return b""
    raise ScheduleError(f"`crontab -l` failed with exit code {done.code}: {done.said or 'it did not say why'}")
