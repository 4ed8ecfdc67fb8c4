"""Progress on a terminal: one line for the run, one for each entry under way, plain lines above them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TimeElapsedColumn
from rich.text import Text

from async_backup.events import (
    AttemptFailed,
    Connected,
    EntryEnded,
    EntryFound,
    EntryStarted,
    EntryUploaded,
    RunEnded,
    SegmentPacked,
    SegmentSent,
)
from async_backup.ui.display import Display
from async_backup.ui.text import shown, size

if TYPE_CHECKING:
    from rich.console import Console

    from async_backup.events import Event
    from async_backup.model import Entry

_REFRESHES_A_SECOND = 8
_WIDE = 110
"""Columns from which on there is room for everything."""


class _Name(ProgressColumn):
    """The description as it is: a name with brackets in it is no markup."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        width = 32 if self._console.width >= _WIDE else max(8, self._console.width - 56)
        name = task.description
        cut = name if len(name) <= width else name[: width - 1] + "…"
        return Text(cut.ljust(width), no_wrap=True)


class _Amounts(ProgressColumn):
    """Bytes read and sent, and how fast they leave; what was read only where there is room."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        if task.fields.get("note"):
            return Text(task.fields["note"], style="cyan", no_wrap=True)
        speed = f"{size(task.speed)}/s" if task.speed else ""
        read, sent = size(task.fields["read"]), size(task.completed)
        before = f"read {read:>10}  " if self._console.width >= _WIDE else ""
        return Text(f"{before}sent {sent:>10} {speed:>12}", no_wrap=True)


class _Entries(ProgressColumn):
    """How many entries have ended, of those found so far."""

    def render(self, task: Task) -> Text:
        if "found" not in task.fields:
            return Text("")
        return Text(f"{task.fields['done']}/{task.fields['found']} entries", no_wrap=True)


class Bars(Display["Event"]):
    """One line for the run, one for each entry under way."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            Progress(
                SpinnerColumn(),
                _Name(console),
                _Amounts(console),
                _Entries(),
                TimeElapsedColumn(),
                console=console,
                transient=True,
                refresh_per_second=_REFRESHES_A_SECOND,
            )
        )
        self._tasks: dict[bytes, TaskID] = {}
        self._run = self._progress.add_task("all entries", total=None, read=0, found=0, done=0)

    def show(self, event: Event) -> None:
        match event:
            case Connected():
                self._progress.start()  # not sooner: a passphrase may have been asked for
            case EntryFound():
                self._add(self._run, found=1)
            case EntryStarted(entry):
                self._start(entry)
            case SegmentPacked(entry, raw):
                self._add(self._tasks[entry.path], read=raw)
                self._add(self._run, read=raw)
            case SegmentSent(entry, sent):
                self._progress.advance(self._tasks[entry.path], sent)
                self._progress.advance(self._run, sent)
            case EntryUploaded(entry):
                self._progress.update(self._tasks[entry.path], note="verifying on the server")
            case AttemptFailed(entry):
                self._end(entry)
            case EntryEnded(outcome):
                self._end(outcome.entry)
                self._add(self._run, done=1)
            case RunEnded():
                self._progress.stop()
            case _:
                pass

    def _start(self, entry: Entry) -> None:
        self._tasks[entry.path] = self._progress.add_task(shown(entry.name), total=None, read=0)

    def _end(self, entry: Entry) -> None:
        task = self._tasks.pop(entry.path, None)
        if task is not None:
            self._progress.remove_task(task)

    def _add(self, task: TaskID, **amounts: int) -> None:
        now = self._progress.tasks[self._progress.task_ids.index(task)].fields
        self._progress.update(task, **{name: now[name] + amount for name, amount in amounts.items()})
