"""What all displays on a terminal have in common: progress at the bottom, lines above it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from rich.console import Group
from rich.text import Text

from async_backup.ui.live import SteadyLive
from async_backup.ui.under_way import Pulse, stalled

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import Console, RenderableType
    from rich.progress import Progress

_Event = TypeVar("_Event")


class Display(ABC, Generic[_Event]):
    """A listener that shows progress; what `lines` prints through `print` and `trouble` appears above it.

    `show` calls `start`, and not sooner than a passphrase may have been asked for. `clock` gives seconds.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._live = SteadyLive(console, self.render)
        self.lines: Callable[[_Event], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to draw."""
        self._live.start(refresh=True)

    def stop(self) -> None:
        """Take the progress off the terminal."""
        self._live.stop()

    def print(self, line: str) -> None:
        """Print above the progress."""
        self._console.print(Text(line), soft_wrap=True)

    def trouble(self, line: str) -> None:
        """Print what needs attention."""
        self._console.print(Text(line, style="red"), soft_wrap=True)

    def __call__(self, event: _Event) -> None:
        self.show(event)
        if self.lines:
            self.lines(event)

    @abstractmethod
    def show(self, event: _Event) -> None:
        """Bring the progress up to date."""

    @abstractmethod
    def render(self) -> RenderableType:
        """What is to be drawn now; called in a thread of its own."""


class ProgressDisplay(Display[_Event]):
    """A display of one of Rich's bars, which says when nothing comes any more."""

    def __init__(self, progress: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._pulse = Pulse()
        super().__init__(progress.console, clock=clock)

    def __call__(self, event: _Event) -> None:
        self._pulse.beat(self._clock())
        super().__call__(event)

    def render(self) -> RenderableType:
        bars = self._progress.get_renderable()
        silence = self._pulse.silent_for(self._clock())
        if silence is None:
            return bars
        return Group(bars, Text(stalled(silence, "nothing new"), style="yellow", no_wrap=True))
