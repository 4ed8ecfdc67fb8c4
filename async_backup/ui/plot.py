"""Pictures of a benchmark, drawn with matplotlib, which is an extra: it is imported when a picture is wanted."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from math import floor, isnan, log10
from typing import TYPE_CHECKING, Any

from async_backup.benching.results import (
    Compression,
    Hashing,
    Packing,
    Reading,
    ServerDigest,
    Upload,
    WholeJob,
    job_rate,
    rate,
)
from async_backup.errors import SettingsError
from async_backup.text import shown
from async_backup.ui.benching import described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from async_backup.benching.results import Measurement

_FORMATS = (".svg", ".png")
_BLUE, _ORANGE, _GREEN, _VERMILION, _GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#555555"
"""Okabe and Ito's colours, which are told apart with any kind of colour vision."""

_MIB = 1 << 20
_GIB = 1 << 30
_DIMENSIONS: tuple[tuple[str, str, Callable[[int], str]], ...] = (
    ("connections", "connections", str),
    ("channels", "channels of each", str),
    ("workers", "workers", str),
    ("processes", "processes", str),
    ("segment_size", "segment size", lambda count: f"{count / _MIB:g} MiB"),
)


@dataclass(frozen=True, slots=True)
class _Bar:
    """One bar of the parts."""

    name: str
    rate: float
    colour: str
    hatch: str


class Plot:
    """A picture that will be drawn to `path`.

    Raises SettingsError where that cannot be: no matplotlib, another ending than .svg or .png, no such directory.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in _FORMATS:
            raise SettingsError(f"--plot {path}: the name must end in {' or '.join(_FORMATS)}")
        if not path.parent.is_dir() or path.is_dir():
            raise SettingsError(f"--plot {path}: there is no such directory, or it is one itself")
        try:
            self._figure_module: Any = importlib.import_module("matplotlib.figure")
        except ImportError as error:
            raise SettingsError(f"--plot needs matplotlib ({error}): pip install 'async-backup[plot]'") from error
        self._path = path

    def draw_parts(self, measurements: Sequence[Measurement], host: str) -> None:
        """A bar for each measured rate, the whole job beside them; raises SettingsError where it cannot be written."""
        bars = list(_bars(measurements))[::-1]
        figure = self._figure_module.Figure(figsize=(9, 1.6 + 0.38 * len(bars)), layout="constrained")
        axes = figure.subplots()
        drawn = axes.barh(
            [bar.name for bar in bars],
            [bar.rate / _MIB for bar in bars],
            color=[bar.colour for bar in bars],
            hatch=[bar.hatch for bar in bars],
            edgecolor="white",
        )
        axes.bar_label(drawn, labels=[_label(bar.rate / _MIB) for bar in bars], padding=4)
        axes.set_xscale("log")
        rates = [bar.rate / _MIB for bar in bars if bar.rate > 0] or [1.0]
        axes.set_xlim(10 ** floor(log10(min(rates))), max(rates) * 2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(y=0.02)
        axes.set_xlabel("MiB a second (logarithmic)")
        axes.set_title(f"What a backup to {shown(host)} is made of")
        _legend(axes, bars)
        _tidy(axes)
        self._save(figure)

    def draw_sweep(self, jobs: Sequence[WholeJob], host: str) -> None:
        """Speed and processor time by the values of each flag; raises SettingsError where it cannot be written."""
        dimensions = [
            dimension for dimension in _DIMENSIONS if len({getattr(j.limits, dimension[0]) for j in jobs}) > 1
        ]
        dimensions = dimensions or [_DIMENSIONS[2]]
        figure = self._figure_module.Figure(figsize=(1.2 + 2.6 * len(dimensions), 6), layout="constrained")
        grid = figure.subplots(2, len(dimensions), sharey="row", squeeze=False)
        for column, (name, title, told) in enumerate(dimensions):
            points = _points(jobs, name)
            values = sorted(points)
            ticks = [told(value) for value in values]
            speeds = [job_rate(points[value]) / _MIB for value in values]
            spent = [_cpu_a_gib(points[value]) for value in values]
            _line(grid[0][column], ticks, speeds, _BLUE, "o")
            _line(grid[1][column], ticks, spent, _VERMILION, "s")
            grid[1][column].set_xlabel(title)
        grid[0][0].set_ylim(0, _above(job_rate(job) / _MIB for job in jobs))
        grid[1][0].set_ylim(0, _above(_cpu_a_gib(job) for job in jobs))
        grid[0][0].set_ylabel("MiB of source a second")
        grid[1][0].set_ylabel("CPU seconds a GiB of source")
        figure.suptitle(f"Backups to {shown(host)}: speed and cost by the value of each flag")
        self._save(figure)

    def _save(self, figure: Any) -> None:
        try:
            figure.savefig(self._path, dpi=150)
        except OSError as error:
            raise SettingsError(f"--plot {self._path} cannot be written: {error.strerror}") from error


def _bars(measurements: Sequence[Measurement]) -> Iterator[_Bar]:
    for one in measurements:
        match one:
            case Reading() | Compression() | Hashing() | Packing():
                yield _Bar(described(one)[1], rate(one.size, one.seconds), _ORANGE, "")
            case Upload():
                yield _Bar(described(one)[1], rate(one.size, one.seconds), _BLUE, "//")
            case ServerDigest():
                yield _Bar(described(one)[1] + " (server)", rate(one.at_once * one.size, one.seconds), _GREEN, "..")
            case WholeJob():
                yield _Bar("whole job, source", job_rate(one), _VERMILION, "xx")
                yield _Bar("whole job, sent", rate(one.packed, one.seconds), _VERMILION, "xx")
            case _:
                pass


def _legend(axes: Any, bars: Sequence[_Bar]) -> None:
    names = {_ORANGE: "this machine", _BLUE: "the line", _GREEN: "the server", _VERMILION: "the whole job"}
    patches = importlib.import_module("matplotlib.patches")
    used = {bar.colour: bar.hatch for bar in reversed(bars)}
    handles = [
        patches.Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=names[colour])
        for colour, hatch in used.items()
    ]
    if handles:
        axes.figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def _points(jobs: Sequence[WholeJob], name: str) -> dict[int, WholeJob]:
    """The runs that differ in this flag alone: those of its turn in the sweep."""
    others = [other for other, _, _ in _DIMENSIONS if other != name]
    groups: dict[tuple[int, ...], dict[int, WholeJob]] = {}
    for job in jobs:
        key = tuple(getattr(job.limits, other) for other in others)
        groups.setdefault(key, {})[getattr(job.limits, name)] = job
    return max(groups.values(), key=len)


def _cpu_a_gib(job: WholeJob) -> float:
    return float("nan") if job.cpu_seconds is None or not job.size else job.cpu_seconds / job.size * _GIB


def _line(axes: Any, ticks: Sequence[str], values: Sequence[float], colour: str, marker: str) -> None:
    axes.plot(ticks, values, color=colour, marker=marker, linewidth=1.5)
    axes.margins(x=0.15)
    for tick, value in zip(ticks, values, strict=True):
        axes.annotate(_label(value), (tick, value), (0, 6), textcoords="offset points", ha="center", color=_GREY)
    _tidy(axes)


def _above(values: Iterable[float]) -> float:
    """The upper end of an axis, with room for labels above the points."""
    return max((value for value in values if not isnan(value)), default=1.0) * 1.2 or 1.0


def _label(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
