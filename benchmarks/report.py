"""What was measured: as Markdown for people, kept in a file with a section for each benchmark, and as a plot."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.options import Options
    from benchmarks.plots import Chart

PLOTS = "plots"


@dataclass(frozen=True)
class Table:
    """Rows of cells under their headings; the first column is text, the others are figures."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self._all()]
        return "\n".join([lines[0], "|---" + "|---:" * (len(self.headings) - 1) + "|", *lines[1:]])

    def _all(self) -> list[tuple[str, ...]]:
        return [self.headings, *self.rows]


@dataclass(frozen=True)
class Report:
    """One benchmark's results; `name` is its module's."""

    name: str
    title: str
    tables: list[Table]
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def markdown(self, arguments: Sequence[str]) -> str:
        """A section of Markdown; `arguments` are what the benchmark was given."""
        known = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        head = [f"## {self.title}", "", f"`{_command(self.name, arguments)}`", "", f"{today()}; {machine()}; {known}."]
        body = [part for table in self.tables for part in ("", table.markdown())]
        return "\n".join([*head, *body, "", *(f"* {note}" for note in self.notes)]).rstrip() + "\n"


def publish(report: Report, chart: Chart, options: Options) -> None:
    """Print the report; draw and keep it where the options say so."""
    text = report.markdown(options.given)
    print(f"\n{text}")
    if options.plot:
        _draw(chart, options.plot)
    if options.append:
        picture = options.append.parent / PLOTS / f"{report.name}.svg"
        _draw(chart, picture)
        _keep(options.append, report.name, f"{text}\n![{report.title}]({PLOTS}/{picture.name})\n")


def _draw(chart: Chart, path: Path) -> None:
    from benchmarks.plots import draw  # noqa: PLC0415  (matplotlib is an extra, and slow to import)

    path.parent.mkdir(parents=True, exist_ok=True)
    draw(chart, path)
    print(f"plot: {path}")


def _keep(path: Path, name: str, text: str) -> None:
    """In the place of an earlier section of that benchmark, or at the end."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{begin}\n{text}{end}\n"
    before = path.read_text() if path.exists() else "# Results\n"
    after, count = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}\n", lambda _: section, before, flags=re.DOTALL)
    path.write_text(after if count else f"{before.rstrip()}\n\n{section}")
    print(f"results: {path}")


def _command(name: str, arguments: Sequence[str]) -> str:
    return shlex.join(["python", "-m", f"benchmarks.{name}", *arguments])


def today() -> str:
    return datetime.now().astimezone().date().isoformat()


def machine() -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{_processor()}, {os.cpu_count()} CPUs, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def say(text: str) -> None:
    """How it goes on, at once."""
    print(text, file=sys.stderr, flush=True)
