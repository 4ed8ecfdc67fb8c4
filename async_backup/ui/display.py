"""What all displays on a terminal have in common: progress at the bottom, lines above it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.progress import Progress

_Event = TypeVar("_Event")


class Display(ABC, Generic[_Event]):
    """A listener that shows progress; what `lines` prints through `print` and `trouble` appears above it.

    `show` starts the progress, and not sooner than a passphrase may have been asked for.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.lines: Callable[[_Event], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def print(self, line: str) -> None:
        """Print above the progress."""
        self._progress.console.print(Text(line), soft_wrap=True)

    def trouble(self, line: str) -> None:
        """Print what needs attention."""
        self._progress.console.print(Text(line, style="red"), soft_wrap=True)

    def __call__(self, event: _Event) -> None:
        self.show(event)
        if self.lines:
            self.lines(event)

    @abstractmethod
    def show(self, event: _Event) -> None:
        """Bring the progress up to date."""
