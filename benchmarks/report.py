"""What was measured, as a table for people and as JSON for comparing over time."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from statistics import median

HEADINGS = ("peer", "runs", "wall s", "min s", "client CPU s", "server CPU s", "archives", "bytes", "ratio")


@dataclass(frozen=True)
class Run:
    """One run of one peer: seconds on the clock, CPU seconds on either side, archives and their bytes."""

    peer: str
    description: str
    wall: float
    client_cpu: float
    server_cpu: float
    archives: int
    stored: int


@dataclass(frozen=True)
class Report:
    command: str
    machine: str
    source: str
    files: int
    size: int
    versions: dict[str, str]
    runs: list[Run]


def as_json(report: Report) -> str:
    return json.dumps(asdict(report), indent=2) + "\n"


def as_table(report: Report) -> str:
    """Medians over the runs; `ratio` is the time taken beside the first peer's, which is this program if it ran."""
    peers = list(dict.fromkeys(run.peer for run in report.runs))
    first = median(run.wall for run in report.runs if run.peer == peers[0])
    rows = [HEADINGS, *(_row([run for run in report.runs if run.peer == peer], first) for peer in peers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*_heading(report), "", *lines, "", *_legend(report)])


def _row(runs: list[Run], first: float) -> tuple[str, ...]:
    wall = median(run.wall for run in runs)
    return (
        runs[0].peer,
        str(len(runs)),
        f"{wall:.2f}",
        f"{min(run.wall for run in runs):.2f}",
        f"{median(run.client_cpu for run in runs):.2f}",
        f"{median(run.server_cpu for run in runs):.2f}",
        str(runs[-1].archives),
        f"{runs[-1].stored:,}",
        f"{wall / first:.2f}",
    )


def _heading(report: Report) -> list[str]:
    return [
        "",
        f"command   {report.command}",
        f"machine   {report.machine}",
        f"source    {report.source}: {report.files:,} files, {report.size:,} bytes",
        *(f"version   {name}: {version}" for name, version in report.versions.items()),
    ]


def _legend(report: Report) -> list[str]:
    return [f"{name:12}  {text}" for name, text in {run.peer: run.description for run in report.runs}.items()]
