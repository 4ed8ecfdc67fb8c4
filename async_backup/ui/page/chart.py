"""Rates over time as a drawing in the page itself."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, NamedTuple

from async_backup.text import size
from async_backup.ui.page.html import element, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backup.ui.page.html import Html
    from async_backup.ui.page.rates import Rate

_WIDTH, _HEIGHT = 480, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 470, 44, 222
_RATE_UNITS = (("B/s", 1.0), ("KiB/s", 1024.0), ("MiB/s", 1024.0**2), ("GiB/s", 1024.0**3))
_TIME_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86400.0))


class Scale(NamedTuple):
    """An axis from 0 to `top`, with marks at round numbers of its unit; all but `unit` in bytes a second or seconds."""

    unit: str
    factor: float
    top: float
    step: float

    @property
    def marks(self) -> list[tuple[float, str]]:
        """Where the marks are, and what is written at them."""
        steps = range(floor(self.top / self.step * 1.000001) + 1)
        return [(place * self.step, f"{place * self.step / self.factor:g}") for place in steps]


def rate_scale(most: float) -> Scale:
    """An axis for rates; it ends at its highest mark."""
    scale = _scale(max(most, 1.0), _RATE_UNITS, enough=1.0, marks=4)
    steps = -(-scale.top // scale.step)
    return scale._replace(top=steps * scale.step)


def time_scale(seconds: float) -> Scale:
    """An axis for a time, which ends where the time does."""
    return _scale(seconds, _TIME_UNITS, enough=2.0, marks=6)


def _scale(top: float, units: Sequence[tuple[str, float]], *, enough: float, marks: int) -> Scale:
    """In the largest unit of which there are `enough`, with about so many marks."""
    unit, factor = [found for found in units if top >= found[1] * enough or found is units[0]][-1]
    return Scale(unit, factor, top, factor * _round_step(top / factor / marks))


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, and not less."""
    power = 10.0 ** floor(log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999999)


def chart(rates: Sequence[Rate]) -> Html:
    """Two lines over time, bytes read and bytes sent a second, with their axes; `rates` are not empty."""
    across = time_scale(rates[-1].end)
    up = rate_scale(max(max(rate.read, rate.sent) for rate in rates))

    def x(seconds: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * seconds / across.top

    def y(rate: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * rate / up.top

    return element(
        "svg",
        element("title", "Bytes read and sent a second over the time of the run", id="chart-title"),
        element("desc", _in_words(rates), id="chart-words"),
        *(_mark_of_rate(y(at), text) for at, text in up.marks),
        *(_mark_of_time(x(at), text) for at, text in across.marks),
        _text(4, 16, up.unit, "start"),
        _text((_LEFT + _RIGHT) / 2, _HEIGHT - 6, f"time since the start, {across.unit}", "middle"),
        _line("read", rates, lambda rate: rate.read, x, y),
        _line("sent", rates, lambda rate: rate.sent, x, y),
        _legend(_RIGHT - 190, "read", "read"),
        _legend(_RIGHT - 80, "sent", "sent"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_labelledby="chart-title chart-words",
    )


def _in_words(rates: Sequence[Rate]) -> str:
    def of(name: str, value: Callable[[Rate], float]) -> str:
        total = sum(value(rate) * (rate.end - rate.begin) for rate in rates)
        return f"{name}: {size(total / rates[-1].end)}/s on average, {size(max(map(value, rates)))}/s at most."

    return f"{of('Read', lambda rate: rate.read)} {of('Sent', lambda rate: rate.sent)}"


def _mark_of_rate(y: float, text: str) -> Html:
    grid = element("path", d=f"M{_LEFT} {y:.1f}H{_RIGHT}", class_="grid")
    return joined([grid, _text(_LEFT - 6, y + 5, text, "end")])


def _mark_of_time(x: float, text: str) -> Html:
    mark = element("path", d=f"M{x:.1f} {_BOTTOM}v5", class_="mark")
    return joined([mark, _text(x, _BOTTOM + 20, text, "middle")])


def _line(
    name: str,
    rates: Sequence[Rate],
    value: Callable[[Rate], float],
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> Html:
    """Level over each step, since that is what is known of it."""
    levels = "".join(f"L{x(rate.begin):.1f} {y(value(rate)):.1f}H{x(rate.end):.1f}" for rate in rates)
    return element("path", d="M" + levels[1:], class_=f"line {name}")


def _legend(x: float, name: str, text: str) -> Html:
    return joined([element("path", d=f"M{x} 12h28", class_=f"line {name}"), _text(x + 34, 17, text, "start")])


def _text(x: float, y: float, text: str, anchor: str) -> Html:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)
