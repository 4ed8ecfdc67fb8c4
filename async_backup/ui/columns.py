"""Columns of bars that show bytes as everything else here writes them."""

from __future__ import annotations

from rich.progress import ProgressColumn, Task
from rich.text import Text

from async_backup.text import size

_WIDTH = len("1023.9 MiB")


class Amount(ProgressColumn):
    """`1.2 GiB of 3.4 GiB`, of the bytes of a task; the total only once it is known."""

    def render(self, task: Task) -> Text:
        total = f" of {size(task.total)}" if task.total is not None else ""
        return Text(f"{size(task.completed):>{_WIDTH}}{total}", no_wrap=True)


class Speed(ProgressColumn):
    """`1.2 GiB/s`; nothing before it is known."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{size(speed):>{_WIDTH}}/s" if speed else "", no_wrap=True)
