"""Plots that a person can read: titled, with units, in colours and marks that everybody can tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's, which people who see colours differently can tell apart."""

MARKS = "osD^vPX*"


@dataclass(frozen=True)
class Bars:
    """One bar for each name, the first one in a colour of its own; `parts` stacks several in each bar."""

    title: str
    unit: str
    bars: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Lines:
    """A line of points for each name; panels stand side by side where there are several."""

    title: str
    x: str
    unit: str
    panels: dict[str, dict[str, list[tuple[float, float]]]]
    logarithmic: str = ""
    """Which scales are: "x", "y" or "xy"."""


Chart = Bars | Lines


def draw(chart: Chart, path: Path) -> None:
    """Write a picture whose format follows from the name; the same figures give the same SVG."""
    with mpl.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none"}):
        figure = _bars(chart) if isinstance(chart, Bars) else _lines(chart)
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(chart: Bars) -> Figure:
    figure = Figure(figsize=(8, 1.2 + 0.45 * len(chart.bars)))
    axes = figure.subplots()
    parts = list(dict.fromkeys(part for bar in chart.bars.values() for part in bar))
    names, left = list(chart.bars), [0.0] * len(chart.bars)
    for part, colour in zip(parts, cycle(COLOURS)):
        values = [bar.get(part, 0.0) for bar in chart.bars.values()]
        first = [colour] * len(names) if len(parts) > 1 else [COLOURS[0], *[COLOURS[4]] * (len(names) - 1)]
        axes.barh(names, values, left=left, color=first, label=part)
        left = [one + other for one, other in zip(left, values, strict=True)]
    for row, total in enumerate(left):
        axes.annotate(f" {total:.3g}", (total, row), va="center")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(chart.unit)
    _finish(axes, chart.title)
    if len(parts) > 1:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def _lines(chart: Lines) -> Figure:
    figure = Figure(figsize=(max(6.5, 4.2 * len(chart.panels)), 4))
    for axes, (panel, lines) in zip(
        figure.subplots(1, len(chart.panels), squeeze=False)[0], chart.panels.items(), strict=True
    ):
        for (name, points), colour, mark in zip(lines.items(), cycle(COLOURS), cycle(MARKS)):
            axes.plot(*zip(*points, strict=True), color=colour, marker=mark, label=name)
        axes.set_xlabel(chart.x)
        axes.set_ylabel(chart.unit)
        if "x" in chart.logarithmic:
            axes.set_xscale("log")
        if "y" in chart.logarithmic:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        _finish(axes, panel)
        axes.legend(frameon=False)
    figure.suptitle(chart.title)
    figure.tight_layout()
    return figure


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
