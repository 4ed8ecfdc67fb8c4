"""Which commands go along with a run, as they stand in a configuration file, and what they tell on their way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from async_backup.durations import parse_seconds
from async_backup.errors import BackupError, SettingsError
from async_backup.events import Event
from async_backup.profiles.suggestions import suggestion

DEFAULT_TIMEOUT = 300.0
"""Seconds: a database dump before the run takes minutes, and one that hangs must not hold up the night."""

NAMES = ("before", "after_entry", "after", "on_failure")
_KEYS = (*NAMES, "timeout")


class HookError(BackupError):
    """A hook could not be run, failed, or took too long; where that is `before`, nothing was sent."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A command, ready to be run, and the seconds that it has."""

    command: tuple[str, ...]
    timeout: float = DEFAULT_TIMEOUT


@dataclass(frozen=True, slots=True)
class HookSettings:
    """The commands of a run.

    Attributes:
        before: Runs first; where it fails nothing is backed up.
        after_entry: Runs once for each entry and destination, beside the backup.
        after: Runs at the end, whatever happened.
        on_failure: Runs at the end, ahead of `after`, where the exit code is not 0.
    """

    before: Hook | None = None
    after_entry: Hook | None = None
    after: Hook | None = None
    on_failure: Hook | None = None

    @classmethod
    def parsed(cls, raw: Mapping[str, object]) -> Self:
        """From the table as TOML gives it; raises SettingsError, naming the key.

        A command is a string, run by `sh -c`, or a list of strings, run as it is, or a table of `command` and
        `timeout`, in seconds or such as "10m". A `timeout` beside the commands holds for those without their own.
        """
        _refuse_unknown(raw, _KEYS, "hooks")
        timeout = _timeout(raw.get("timeout", DEFAULT_TIMEOUT), "hooks.timeout")
        return cls(**{name: _hook(raw[name], f"hooks.{name}", timeout) for name in NAMES if name in raw})


@dataclass(frozen=True, slots=True)
class RunDue:
    """What the hook `before` is told: a run is about to begin."""

    profile: str
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HookSaid:
    """A hook wrote a line."""

    hook: str
    line: str


@dataclass(frozen=True, slots=True)
class HookFailed:
    """A hook did not do its work; for the backup that means nothing, unless it is `before`."""

    hook: str
    reason: str


@dataclass(frozen=True, slots=True)
class PingFailed:
    """The monitor was not told of a `kind` ("start", "success", "fail"); `url` is without its secret path."""

    url: str
    kind: str
    reason: str


HookEvent = HookSaid | HookFailed | PingFailed
HookListener = Callable[[Event | HookEvent], None]


def _hook(raw: object, key: str, timeout: float) -> Hook:
    match raw:
        case dict():
            _refuse_unknown(raw, ("command", "timeout"), key)
            if "command" not in raw:
                raise SettingsError(f"{key} is a table without `command`")
            return Hook(
                _command(raw["command"], f"{key}.command"), _timeout(raw.get("timeout", timeout), f"{key}.timeout")
            )
        case _:
            return Hook(_command(raw, key), timeout)


def _command(raw: object, key: str) -> tuple[str, ...]:
    words = ["/bin/sh", "-c", raw] if isinstance(raw, str) and raw.strip() else raw
    if not isinstance(words, list) or not words or not words[0] or not all(isinstance(word, str) for word in words):
        raise SettingsError(f"{key} has to be a command: a string for the shell, or a list of strings, not {raw!r}")
    if any("\0" in word for word in words):
        raise SettingsError(f"{key} contains a zero byte, which no command can take")
    return tuple(words)


def _timeout(raw: object, key: str) -> float:
    match raw:
        case bool():
            seconds = 0.0
        case str():
            seconds = float(parse_seconds(raw))
        case int() | float():
            seconds = float(raw)
        case _:
            seconds = 0.0
    if not math.isfinite(seconds) or seconds <= 0:
        raise SettingsError(f"{key} has to be a length of time above 0, in seconds or such as '10m', not {raw!r}")
    return seconds


def _refuse_unknown(raw: Mapping[str, object], known: tuple[str, ...], key: str) -> None:
    for name in raw:
        if name not in known:
            hint = suggestion(name, known) or f"there are {', '.join(known)}"
            raise SettingsError(f"{key} has no setting {name!r}; {hint}")
