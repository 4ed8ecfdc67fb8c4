"""What a hook finds in its environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, assert_never

from async_backup.errors import BackupError, ExitCode
from async_backup.events import EntryEnded, RunEnded
from async_backup.hooks.model import RunDue
from async_backup.model import Committed, Failed, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from async_backup.model import Outcome, Report

Subject = RunDue | EntryEnded | RunEnded | BackupError
"""What a hook is told of: a run to come, an entry that ended, a run that ended, one that ended with an error."""

_PREFIX = b"ASYNC_BACKUP_"
_OF_RUN = (
    *("EVENT", "RUN", "PROFILE_NAME", "DESTINATION"),
    *("SUMMARY", "EXIT_CODE", "COMMITTED", "FAILED", "OUTCOME", "ERROR"),
)
_OF_ENTRY = ("ENTRY", "ARCHIVE", "SIZE", "DIGEST")
_NOT_PASSED_ON = frozenset(_PREFIX + name.encode() for name in (*_OF_RUN, *_OF_ENTRY, "PING"))
"""Ours, which an outer run may have set, and the address of the monitor, which is a secret."""

_LIMIT = 4096
"""Bytes of a text: the system takes 128 KiB for one variable, and a list of thousands of failures is no text."""


class Surroundings(NamedTuple):
    """What is the same for all hooks of a run; `environment` is the one that they inherit."""

    run: str
    profile: str
    destinations: tuple[str, ...]
    environment: Mapping[bytes, bytes]
    summarize: Callable[[Report | BackupError], str]


def exit_code(ending: RunEnded | BackupError) -> ExitCode:
    """The exit code of a run that ended so."""
    return ending.report.exit_code if isinstance(ending, RunEnded) else ending.exit_code


def environment_of(hook: str, subject: Subject, around: Surroundings) -> dict[bytes, bytes]:
    """The environment of a hook: the inherited one, and ASYNC_BACKUP_*, only those that say something.

    Names are the bytes of the file system. Destinations and lines of the summary are divided by newlines.
    """
    values: dict[str, bytes | str | int] = {
        "EVENT": hook,
        "RUN": around.run,
        "PROFILE_NAME": around.profile,
        "DESTINATION": "\n".join(around.destinations),
        **_about(subject, around),
    }
    inherited = {name: value for name, value in around.environment.items() if name not in _NOT_PASSED_ON}
    ours = {_PREFIX + name.encode(): _encoded(value) for name, value in values.items() if value != ""}
    return {**inherited, **ours}


def _about(subject: Subject, around: Surroundings) -> dict[str, bytes | str | int]:
    match subject:
        case RunDue():
            return {}
        case EntryEnded(outcome):
            return _about_entry(outcome)
        case RunEnded(report):
            return {
                **_about_ending(exit_code(subject)),
                "SIZE": sum(outcome.size for outcome in report.committed),
                "COMMITTED": len(report.committed),
                "FAILED": len(report.failed),
                "ERROR": "; ".join(str(error) for error in report.source_errors),
                "SUMMARY": around.summarize(report),
            }
        case BackupError():
            return {
                **_about_ending(exit_code(subject)),
                "ERROR": str(subject),
                "SUMMARY": around.summarize(subject),
            }
        case _:
            assert_never(subject)


def _about_ending(code: ExitCode) -> dict[str, bytes | str | int]:
    return {"OUTCOME": code.name.lower(), "EXIT_CODE": int(code)}


def _about_entry(outcome: Outcome) -> dict[str, bytes | str | int]:
    entry = outcome.entry
    values: dict[str, bytes | str | int] = {
        "OUTCOME": type(outcome).__name__.lower(),
        "ENTRY": entry.path,
        "ARCHIVE": entry.remote_path,
    }
    if outcome.destination:
        values["DESTINATION"] = outcome.destination
    match outcome:
        case Committed():
            return {**values, "SIZE": outcome.size, "DIGEST": outcome.digest}
        case Failed():
            return {**values, "ERROR": str(outcome.error)}
        case Interrupted():
            return values
        case _:
            assert_never(outcome)


def _encoded(value: bytes | str | int) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        text = os.fsencode(str(value))
    except UnicodeEncodeError:
        text = str(value).encode("utf-8", "backslashreplace")
    return text.replace(b"\0", b"")[:_LIMIT]
