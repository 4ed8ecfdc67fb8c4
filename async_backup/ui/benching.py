"""A benchmark in lines, its table and its advice, and on a terminal with the time that is left."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING, assert_never

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from async_backup.benching.model import (
    BenchEnded,
    BenchStarted,
    LeftoverRemoved,
    SampleReady,
    StepStarted,
)
from async_backup.benching.results import (
    Compression,
    Hashing,
    NotMeasured,
    Packing,
    Reading,
    RoundTrip,
    ServerDigest,
    SmallFiles,
    Upload,
    WholeJob,
    job_rate,
    rate,
)
from async_backup.remote.base import READBACK
from async_backup.text import counted, duration, shown, size
from async_backup.ui.display import Display
from async_backup.ui.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console, RenderableType

    from async_backup.benching.advice import Advice
    from async_backup.benching.model import BenchEvent, BenchReport
    from async_backup.benching.results import Measurement

_WIDTH = 79
_NAME = 38
_VALUE = 14
_BAR = 20
_LINE, _HERE, _SERVER, _WHOLE = "the line", "this machine", "the server", "the whole job"


class BenchPrinter(Lines):
    """A listener that prints lines: a heading for each group of measurements, what was not measured among them."""

    def __init__(
        self, out: Callable[[str], None], err: Callable[[str], None], verbosity: int, *, is_sweep: bool = False
    ) -> None:
        super().__init__(out, err, verbosity)
        self._is_sweep = is_sweep
        self._heading = ""
        self._runs = 0

    def __call__(self, event: BenchEvent) -> None:
        match event:
            case BenchStarted(host, directory, seconds):
                self._out(f"measuring {shown(host)} for about {duration(seconds)}, in a directory that goes again:")
                self._out(f"  {shown(directory)}")
            case SampleReady():
                self._sample(event)
            case StepStarted():
                pass
            case LeftoverRemoved(path):
                self._out(f"removed what an earlier benchmark had left: {shown(path)}")
            case BenchEnded(report):
                self._ended(report)
            case NotMeasured(what, reason):
                self._err(f"not measured: {shown(what)}: {shown(reason)}")
            case WholeJob() if self._is_sweep:
                self._runs += 1
                self._out(f"  run {self._runs:<3} {_speed(job_rate(event)):>12}  {_flags(event)}")
            case _:
                self._measured(event)

    def _sample(self, event: SampleReady) -> None:
        if event.is_generated and event.size is not None:
            entries, files = counted(event.entries or 0, "entry", "entries"), counted(event.files or 0, "file")
            self._out(f"sample: {size(event.size)} in {files}, {entries}, generated")
        else:
            self._out(f"sample: {shown(event.path)}")

    def _measured(self, event: Measurement) -> None:
        heading, name, value, detail = described(event)
        if heading != self._heading:
            self._heading = heading
            self._out(heading)
        self._out(f"  {name:<{_NAME}}{value:>{_VALUE}}  {detail}".rstrip())

    def _ended(self, report: BenchReport) -> None:
        if self._is_sweep and report.jobs:
            for line in table(report.jobs):
                self._out(line)
        if report.advice is not None:
            for line in advice_lines(report.advice):
                self._out(line)
        elif not report.is_interrupted:
            self._err("no advice: the whole job could not be measured")
        head = "interrupted after" if report.is_interrupted else "done in"
        self._out(f"{head} {duration(report.seconds)}{'' if report.leftovers else '; the server is as it was'}")
        for path in report.leftovers:
            self._err(f"NOT REMOVED: {shown(path)}; the next benchmark from this machine tries again")


def described(event: Measurement) -> tuple[str, str, str, str]:
    """Group, name, figure and detail of a measurement."""
    match event:
        case Reading() | Compression() | Hashing() | Packing():
            return (_HERE, *_described_here(event))
        case RoundTrip() | Upload():
            return (_LINE, *_described_line(event))
        case ServerDigest() | SmallFiles():
            return (_SERVER, *_described_server(event))
        case WholeJob():
            return _WHOLE, "source", _speed(job_rate(event)), _job_detail(event)
        case NotMeasured(what, reason):
            return "", what, "", reason
        case _:
            assert_never(event)


def _described_line(event: RoundTrip | Upload) -> tuple[str, str, str]:
    if isinstance(event, Upload):
        return "upload, " + lanes(event.connections, event.channels), _speed(rate(event.size, event.seconds)), ""
    spread = f"{event.low * 1000:.1f} to {event.high * 1000:.1f}, {counted(event.requests, 'try', 'tries')}"
    return "round trip (median, quartiles)", f"{event.median * 1000:.1f} ms", spread


def _described_server(event: ServerDigest | SmallFiles) -> tuple[str, str, str]:
    if isinstance(event, SmallFiles):
        name = f"small files, {event.at_once} at once"
        return name, f"{event.files / event.seconds:.0f} a second", "written, flushed, named"
    how = "read back" if event.computed_by == READBACK else shown(event.computed_by)
    speed = _speed(rate(event.at_once * event.size, event.seconds))
    return f"digest, {event.at_once} at once", speed, f"{how}, {size(event.size)}"


def _described_here(event: Reading | Compression | Hashing | Packing) -> tuple[str, str, str]:
    speed = _speed(rate(event.size, event.seconds))
    match event:
        case Reading():
            where = "from the disk" if event.is_cold else "from memory"
            return "reading files, one thread", speed, f"{counted(event.files, 'file')} {where}"
        case Compression():
            return f"compression, {event.library} level {event.level}", speed, f"to {event.packed / event.size:.0%}"
        case Hashing():
            return f"hashing, {event.algorithm}", speed, ""
        case Packing():
            spent = "" if event.cpu_seconds is None else f", {event.cpu_seconds / event.seconds:.1f} CPUs"
            name = f"packing, {counted(event.processes, 'process', 'processes')}"
            return name, speed, f"to {event.packed / event.size:.0%}{spent}"
        case _:
            assert_never(event)


def _job_detail(job: WholeJob) -> str:
    spent = "" if job.cpu_seconds is None else f", CPU {job.cpu_seconds:.1f} s"
    return f"{duration(job.seconds)}{spent}{'' if job.is_whole else ', cut'}"


def lanes(connections: int, channels: int) -> str:
    """`4 connections x 2 channels`, short where there is one of both."""
    if connections == channels == 1:
        return "one channel"
    return f"{counted(connections, 'connection')} x {counted(channels, 'channel')}"


def _speed(count: float) -> str:
    return f"{size(count)}/s"


def _flags(job: WholeJob) -> str:
    limits = job.limits
    return (
        f"{limits.workers} workers, {limits.processes} proc., {limits.connections} x {limits.channels} channels, "
        f"{size(limits.segment_size)}"
    )


def table(jobs: Sequence[WholeJob]) -> Iterator[str]:
    """The runs of a sweep, the fastest first, at most 80 columns wide."""
    yield ""
    head = f"{'RATE':>12}{'WALL':>9}{'CPU':>9}{'WORKERS':>9}{'PROCESSES':>11}"
    yield head + f"{'CONNECT.':>10}{'CHANNELS':>10}{'SEGMENT':>10}"
    for job in sorted(jobs, key=job_rate, reverse=True):
        limits = job.limits
        spent = "-" if job.cpu_seconds is None else f"{job.cpu_seconds:.1f} s"
        wall = f"{job.seconds:.1f} s{' ' if job.is_whole else '*'}"
        yield (
            f"{_speed(job_rate(job)):>12}{wall:>9}{spent:>9}{limits.workers:>9}{limits.processes:>11}"
            f"{limits.connections:>10}{limits.channels:>10}{size(limits.segment_size):>10}"
        )
    if not all(job.is_whole for job in jobs):
        yield "* cut when its time was up: the rate is that of what it had sent"


def advice_lines(advice: Advice) -> Iterator[str]:
    """What to make of it; the options stand alone on a line, to be copied."""
    yield ""
    if advice.bottleneck is not None:
        yield f"bottleneck: {advice.bottleneck}"
    yield from _wrapped(advice.explanation)
    yield "recommended:"
    yield f"  {advice.options}"
    for reason in advice.why:
        yield from _wrapped(reason, "- ")
    yield ""


def _wrapped(text: str, bullet: str = "") -> list[str]:
    indent = "  "
    return textwrap.wrap(
        shown(text), _WIDTH, initial_indent=indent + bullet, subsequent_indent=indent + " " * len(bullet)
    )


class BenchBar(Display["BenchEvent"]):
    """What is being measured, and how much of the time has passed: work fills the time that it is given."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._began = 0.0
        self._seconds = 0.0
        self._step = "connecting"
        super().__init__(console, clock=clock)

    def show(self, event: BenchEvent) -> None:
        match event:
            case BenchStarted(_, _, seconds):
                self._began, self._seconds = self._clock(), seconds
                self.start()
            case StepStarted(step):
                self._step = step
            case BenchEnded():
                self.stop()
            case _:
                pass

    def render(self) -> RenderableType:
        passed = self._clock() - self._began
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(self._seconds, min(passed, self._seconds), width=_BAR)
        told = Text(f"{passed:.0f} s of {self._seconds:.0f} s", no_wrap=True)
        row.add_row(bar, told, Text(self._step, no_wrap=True, overflow="ellipsis"))
        return row
