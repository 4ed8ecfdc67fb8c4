"""Progress on a terminal: the run, its destinations and the entries under way, and plain lines above them."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from rich.text import Text

from async_backup.counting import AllCounted, AllListed
from async_backup.events import Connected, RunEnded
from async_backup.last_run import LastSizes
from async_backup.ui.board import Board
from async_backup.ui.display import Display
from async_backup.ui.panel import rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import Console

    from async_backup.counting import Counter
    from async_backup.events import Event


class Bars(Display["Event"]):
    """Shows how far a run is and how long it will still take, as far as that is known.

    `last` are the sizes of the run before. `counter`, where there is one, is started with the run and ended with it:
    without it nobody knows beforehand how many entries there are, and no time is told. `clock` gives seconds.
    """

    def __init__(
        self,
        console: Console,
        *,
        last: LastSizes | None = None,
        counter: Counter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console, clock=clock)
        self._counter = counter
        self._board = Board(last or LastSizes())
        self._lock = Lock()
        """Events come in one thread, drawing is done in another."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._close()

    def show(self, event: Event) -> None:
        with self._lock:
            self._board.note(event, self._clock())
        match event:
            case Connected():
                if self._counter:
                    self._counter.start()
                self.start()  # not sooner: a passphrase may have been asked for
            case RunEnded():
                self._close()
            case _:
                pass

    def _close(self) -> None:
        self.stop()
        with self._lock:
            if self._counter:
                self._counter.close()

    def render(self) -> Text:
        with self._lock:
            self._take_news()
            drawn = rows(self._board, self._clock(), self._console.width, self._console.height)
        return Text("\n", no_wrap=True).join(drawn)

    def _take_news(self) -> None:
        for news in self._counter.news() if self._counter else ():
            match news:
                case AllListed():
                    self._board.estimate.all_listed()
                case AllCounted():
                    self._board.estimate.all_counted()
                case (place, size):
                    self._board.estimate.add(place, size)
