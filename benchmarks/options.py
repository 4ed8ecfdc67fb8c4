"""What all benchmarks can be told."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Options:
    """How to measure, and where results go. The last ones only where a benchmark knows them."""

    small: bool
    runs: int
    scratch: Path
    keep: bool
    plot: Path | None
    append: Path | None
    given: tuple[str, ...] = ()
    """The arguments as they were typed."""
    full: bool = False
    source: Path | None = None
    peers: tuple[str, ...] = ()
    round_trips: tuple[float, ...] | None = None


def parser(doc: str | None, *, runs: int = 3) -> argparse.ArgumentParser:
    """With the arguments that all have in common."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--small", action="store_true", help="a quick try with little data, for no serious figures")
    made.add_argument("--runs", type=int, default=None, help=f"rounds, of which the median counts ({runs})")
    made.add_argument(
        "--scratch", type=Path, default=Path("/dev/shm"), help="where sources and archives lie (%(default)s)"
    )
    made.add_argument("--keep", action="store_true", help="leave sources, archives and logs where they are")
    made.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the results")
    made.add_argument("--append", type=Path, metavar="FILE.md", help="keep results there, the plot in plots/ beside it")
    made.set_defaults(usual_runs=runs)
    return made


def add_peers(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--peers", type=lambda names: tuple(filter(None, names.split(","))), default=(), help="only these"
    )


def options_from(made: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> Options:
    """A small run takes one round where nobody says how many."""
    known = vars(made.parse_args(arguments))
    usual = known.pop("usual_runs")
    if known["runs"] is None:
        known["runs"] = 1 if known["small"] else usual
    return Options(**known, given=tuple(sys.argv[1:] if arguments is None else arguments))
