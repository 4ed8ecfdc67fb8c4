"""Schedules as timers of systemd, of the system or of a user."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from async_backup.errors import ExitCode, SettingsError
from async_backup.scheduling.model import Part, ScheduleError, Status
from async_backup.scheduling.programs import call, demand, is_there
from async_backup.scheduling.units import MARK, PREFIX, service_unit, timer_unit, unit_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from async_backup.scheduling.model import Job

_MEANINGS: Final[Mapping[int, str]] = {
    ExitCode.NOTHING_DONE: "nothing could be done",
    ExitCode.USAGE: "wrong settings",
    ExitCode.INCOMPLETE: "some entries or files were not backed up",
    ExitCode.LOCKED: "another run was under way",
    ExitCode.INTERRUPTED: "interrupted",
}


class Systemd:
    """The manager of the system, or of the user who runs this, which looks for units in `directory`."""

    def __init__(self, directory: Path, *, is_user: bool) -> None:
        self._directory = directory
        self._is_user = is_user
        self._systemctl = ("systemctl", "--user" if is_user else "--system", "--no-ask-password")

    def parts(self, job: Job) -> list[Part]:
        """The service and the timer."""
        _check_calendar(job.when.calendar)
        name = unit_name(job.profile)
        return [
            Part(str(self._directory / f"{name}.service"), service_unit(job, is_user=self._is_user)),
            Part(str(self._directory / f"{name}.timer"), timer_unit(job)),
        ]

    def install(self, job: Job) -> None:
        """Write, enable and start the timer, in place of an earlier one; on error all is as it was before."""
        parts = self.parts(job)
        before = {path: _read(path) for path in self._paths(job.profile)}
        for path, content in before.items():
            if content is not None and not content.startswith(MARK.encode()):
                raise ScheduleError(f"{path} was not made by `async-backup schedule install`; move it away first")
        try:
            for path, part in zip(before, parts, strict=True):
                _write(path, part.text.encode())
            self._start(f"{unit_name(job.profile)}.timer")
        except ScheduleError:
            self._restore(job.profile, before)
            raise

    def remove(self, profile: str) -> bool:
        """Stop and disable the timer and remove both units; a backup under way goes on."""
        if profile not in self.profiles():
            return False
        demand(*self._systemctl, "disable", "--now", f"{unit_name(profile)}.timer")
        for path in self._paths(profile):
            _put_back(path, None)
        demand(*self._systemctl, "daemon-reload")
        return True

    def profiles(self) -> list[str]:
        """Those whose timers were made here."""
        found = sorted(self._directory.glob(f"{PREFIX}*.timer"))
        ours = [path for path in found if (_read(path) or b"").startswith(MARK.encode())]
        return [path.name.removeprefix(PREFIX).removesuffix(".timer") for path in ours]

    def status(self, profile: str) -> Status:
        """As systemd tells it, with its times."""
        timer = self._shown(f"{unit_name(profile)}.timer", "ActiveState", "NextElapseUSecRealtime", "LastTriggerUSec")
        service = self._shown(f"{unit_name(profile)}.service", "ActiveState", "Result", "ExecMainStatus")
        next_run = timer.get("NextElapseUSecRealtime", "")
        if timer.get("ActiveState") != "active":
            next_run = "never: the timer is not active"
        last_run = timer.get("LastTriggerUSec", "").removeprefix("n/a")
        place = f"systemd {'user' if self._is_user else 'system'} timer {unit_name(profile)}.timer"
        return Status(profile, place, next_run, last_run, _result(service) if last_run else "")

    def _start(self, timer: str) -> None:
        demand(*self._systemctl, "daemon-reload")
        demand(*self._systemctl, "enable", timer)
        demand(*self._systemctl, "restart", timer)  # `enable --now` would leave a timer that runs with its old time

    def _restore(self, profile: str, before: Mapping[Path, bytes | None]) -> None:
        with suppress(ScheduleError):
            if None in before.values():
                call(*self._systemctl, "disable", "--now", f"{unit_name(profile)}.timer")
            for path, content in before.items():
                _put_back(path, content)
            call(*self._systemctl, "daemon-reload")

    def _paths(self, profile: str) -> tuple[Path, Path]:
        name = unit_name(profile)
        return self._directory / f"{name}.service", self._directory / f"{name}.timer"

    def _shown(self, unit: str, *properties: str) -> dict[str, str]:
        wanted = [f"--property={name}" for name in properties]
        lines = demand(*self._systemctl, "show", *wanted, unit).decode(errors="replace").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def _result(service: Mapping[str, str]) -> str:
    if service.get("ActiveState") in {"activating", "active", "deactivating"}:
        return "under way"
    result, code = service.get("Result", ""), service.get("ExecMainStatus", "")
    if result == "success":
        return "complete"
    if result == "exit-code" and code.isdecimal():
        return f"failed with exit code {code}: {_MEANINGS.get(int(code), 'it could not be started')}"
    return f"failed: {result}"


def _check_calendar(expression: str) -> None:
    """Raise SettingsError for a time that systemd does not understand, as far as it can be asked."""
    if is_there("systemd-analyze"):
        done = call("systemd-analyze", "calendar", "--", expression)
        if done.code != 0:
            raise SettingsError(f"systemd does not understand the calendar expression {expression!r}: {done.said}")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ScheduleError(f"{path} cannot be read: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.chmod(0o644)
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise ScheduleError(f"{path} cannot be written: {error.strerror}") from error


def _put_back(path: Path, content: bytes | None) -> None:
    if content is not None:
        _write(path, content)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ScheduleError(f"{path} cannot be removed: {error.strerror}") from error
