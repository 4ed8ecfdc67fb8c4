"""A live display that does not lose its place when the terminal changes its width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.live import Live
from rich.live_render import LiveRender
from rich.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.control import Control

REFRESHES_A_SECOND = 4


class _Reflowed(LiveRender):
    """What was drawn last, as high as it is now: a terminal that became narrower has wrapped its lines."""

    def __init__(self, console: Console) -> None:
        super().__init__("", vertical_overflow="crop")
        self._console = console
        self._widths: list[int] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn = [part for part in super().__rich_console__(console, options) if isinstance(part, Segment)]
        self._widths = [Segment.get_line_length(line) for line in Segment.split_lines(drawn)]
        yield from drawn

    def position_cursor(self) -> Control:
        self._reflow()
        return super().position_cursor()

    def restore_cursor(self) -> Control:
        self._reflow()
        return super().restore_cursor()

    def _reflow(self) -> None:
        width = max(1, self._console.width)
        if self._shape is not None and self._widths:
            self._shape = self._shape[0], sum(max(1, -(-line // width)) for line in self._widths)


class SteadyLive(Live):
    """Draws what `render` gives, a few times a second, below what is printed; gone when it stops."""

    def __init__(self, console: Console, render: Callable[[], RenderableType]) -> None:
        super().__init__(console=console, transient=True, refresh_per_second=REFRESHES_A_SECOND)
        self._render = render
        self._live_render = _Reflowed(console)

    def get_renderable(self) -> RenderableType:
        return self._render() if self.is_started else ""
