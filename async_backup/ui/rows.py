"""Rows of a display that fit the terminal, whatever its width: the least important parts go first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "  "
_FULL, _EMPTY = "━", "─"


class Part(NamedTuple):
    """A piece of a row; of those that do not fit, the one with the highest `rank` goes first."""

    text: str
    rank: int = 0
    style: str = ""


def row(parts: Sequence[Part], width: int) -> Text:
    """The parts in their order, as many as fit into `width` cells; what remains is cut."""
    fitting = [part for part in parts if part.text]
    while len(fitting) > 1 and _width(fitting) > width:
        fitting.remove(max(fitting, key=lambda part: part.rank))
    text = Text(_GAP, end="", no_wrap=True, overflow="crop").join(Text(part.text, style=part.style) for part in fitting)
    text.no_wrap, text.overflow = True, "crop"
    text.truncate(width)
    return text


def _width(parts: Sequence[Part]) -> int:
    return sum(cell_len(part.text) for part in parts) + len(_GAP) * (len(parts) - 1)


def column(text: str, width: int) -> str:
    """The text in exactly `width` cells, its end cut off with an ellipsis."""
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def bar(fraction: float, width: int) -> str:
    """A bar of `width` cells; full only when all is done."""
    full = int(min(1.0, max(0.0, fraction)) * width)
    return _FULL * full + _EMPTY * (width - full)


def percent(fraction: float) -> str:
    """` 42 %`; never 100 before the end."""
    return f"{min(99, int(fraction * 100)):>2} %"


def clock(seconds: float) -> str:
    """`1:02:03`."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
