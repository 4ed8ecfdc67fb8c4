"""What a run would do, told without a connection."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, assert_never

import typer

from async_backup.cli.execute import fail
from async_backup.cli.output import complain, say_result
from async_backup.config import NAME_LIMIT
from async_backup.errors import BackupError, ExitCode
from async_backup.events import EntryFound, EntrySkipped, SourceEmpty
from async_backup.model import Entry
from async_backup.scan import resolve_sources, scan_all
from async_backup.text import one_line, shown
from async_backup.ui.json_lines import JsonPrinter
from async_backup.ui.plain import empty, route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.config import Destination, Settings


def show_plan(settings: Settings, *, as_json: bool) -> None:
    """What a run would do, as far as it can be told without a connection."""
    show = _show_item_as_json if as_json else partial(_show_item, destinations=settings.destinations)
    try:
        sources = resolve_sources(settings.sources, settings.only)
    except BackupError as error:
        fail(error, as_json=as_json)
    timestamp = settings.timestamp(datetime.now().astimezone())
    is_complete = True
    for item in scan_all(sources, timestamp, settings.selection, settings.only):
        if isinstance(item, BackupError):
            is_complete = False
            complain(f"error: {one_line(item)}")
            continue
        show(item)
        if trouble := _trouble(item):
            is_complete = False
            complain(trouble)
    raise typer.Exit(ExitCode.COMPLETE if is_complete else ExitCode.INCOMPLETE)


def _trouble(item: Entry | EntrySkipped | SourceEmpty) -> str:
    """What would go wrong with it, as far as that can be known here."""
    if isinstance(item, SourceEmpty) and not item.skipped:
        return empty(item)
    if isinstance(item, Entry) and len(item.archive) > NAME_LIMIT:
        return (
            f"NOT BACKED UP would be {shown(item.path)}: the name of its archive would have {len(item.archive)} bytes, "
            f"and servers take {NAME_LIMIT}"
        )
    return ""


def _show_item_as_json(item: Entry | EntrySkipped | SourceEmpty) -> None:
    JsonPrinter(say_result)(EntryFound(item) if isinstance(item, Entry) else item)


def _show_item(item: Entry | EntrySkipped | SourceEmpty, destinations: Sequence[Destination]) -> None:
    match item:
        case Entry():
            for destination in destinations:
                say_result(f"would back up: {route(item, str(destination))}")
        case EntrySkipped(path, reason):
            say_result(f"would skip: {shown(path)} ({reason})")
        case SourceEmpty():
            if item.skipped:
                complain(empty(item))
        case _:
            assert_never(item)
