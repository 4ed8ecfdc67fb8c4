"""One JSON object a line for every event; README lists them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from async_backup.errors import BackupError, CopyMismatch, DigestMismatch
from async_backup.events import EntryEnded, RunEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from async_backup.model import Report


class JsonPrinter:
    """A listener to any event that prints JSON lines, ASCII only; other bytes than UTF-8 become \\udcXX."""

    def __init__(self, out: Callable[[str], None]) -> None:
        self._out = out

    def __call__(self, event: object) -> None:
        self._out(json.dumps({"event": _snake(event), "time": _now(), **_content(event)}, default=datetime.isoformat))


def json_line(content: Mapping[str, object]) -> str:
    """A line for what is no event, such as an archive in a listing."""
    return json.dumps(_plain(dict(content)))


def error_line(error: BackupError, **more: object) -> str:
    """The line for an error that ended the run, or what is named in `more`."""
    told = {"event": "error", "time": _now(), **_plain(more), **_plain(error), "exit_code": int(error.exit_code)}
    return json.dumps(told)


def line_of(subject: object) -> str:
    """The line of an event, or of an error that ended a run."""
    if isinstance(subject, BackupError):
        return error_line(subject)
    lines: list[str] = []
    JsonPrinter(lines.append)(subject)
    return lines[0]


def _content(event: object) -> dict[str, Any]:
    match event:
        case RunEnded(report):
            return _totals(report)
        case EntryEnded(outcome):
            return {"outcome": _snake(outcome), **_fields(outcome)}
        case _:
            ending = getattr(event, "report", None)
            return _fields(event) if ending is None else _ending(ending)


def _ending(report: Any) -> dict[str, Any]:
    """What a report adds to the events before it, which it names as `told_before` if it holds them too."""
    told_before = getattr(report, "told_before", ())
    return {
        "exit_code": int(report.exit_code),
        **{name: value for name, value in _fields(report).items() if name not in told_before},
    }


def _totals(report: Report) -> dict[str, Any]:
    return {
        "exit_code": int(report.exit_code),
        "interrupted": report.is_interrupted,
        "entries": len(report.outcomes),
        "committed": len(report.committed),
        "failed": len(report.failed),
        "not_committed": len(report.interrupted),
        "problems": sum(outcome.problems.losses for outcome in report.committed),
        "raw_size": sum(outcome.raw_size for outcome in report.archived),
        "size": sum(outcome.size for outcome in report.archived),
        "seconds": round(report.seconds, 3),
        "source_errors": [str(error) for error in report.source_errors],
        "leftovers": list(report.leftovers),
        "destinations": {
            name: {
                kind: sum(outcome.destination == name for outcome in outcomes)
                for kind, outcomes in (
                    ("committed", report.committed),
                    ("failed", report.failed),
                    ("not_committed", report.interrupted),
                )
            }
            for name in report.destinations
        },
    }


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: Any) -> Any:
    match value:
        case bytes() | Path():
            return os.fsdecode(value)
        case BackupError():
            return {"error": type(value).__name__, "message": str(value), **_details(value)}
        case tuple() if hasattr(value, "_asdict"):
            return {name: _plain(item) for name, item in value._asdict().items()}
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            return _fields(value) if is_dataclass(value) else value


def _details(error: BackupError) -> dict[str, str]:
    details = {"sent": error.sent, "stored": error.stored} if isinstance(error, DigestMismatch) else {}
    return details | ({"older": error.older} if isinstance(error, CopyMismatch) else {})


def _snake(value: object) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(value).__name__).lower()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
