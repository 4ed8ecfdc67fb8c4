"""What a benchmark is told, what it tells on its way, and what it says at its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final

from async_backup.benching.results import Measurement, WholeJob
from async_backup.config import HASHES, Limits, SshSettings, Verify
from async_backup.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from async_backup.benching.advice import Advice
    from async_backup.config import Destination

LEAST_SECONDS: Final = 5
MOST_SECONDS: Final = 3600
_SECONDS_A_RUN: Final = 1.5
_MOST_VALUES: Final = 16


class Sample(StrEnum):
    """What is backed up where there is no source."""

    MANY_SMALL = "many-small"
    FEW_LARGE = "few-large"
    INCOMPRESSIBLE = "incompressible"


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that a sweep tries for each flag; an empty one leaves it as it is. Raises SettingsError."""

    connections: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    workers: tuple[int, ...] = ()
    processes: tuple[int, ...] = ()
    segment_size: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, values in self.dimensions():
            if len(values) > _MOST_VALUES:
                raise SettingsError(f"{len(values)} values for {name} are too many; give at most {_MOST_VALUES}")
            for value in values:
                replace(Limits(), **{name: value})

    def dimensions(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The flags in the order in which they are tried, by their names in `Limits`."""
        return (
            ("connections", self.connections),
            ("channels", self.channels),
            ("workers", self.workers),
            ("processes", self.processes),
            ("segment_size", self.segment_size),
        )

    def runs(self, base: Limits) -> int:
        """How many backups it takes, the one with `base` among them."""
        return 1 + sum(len(set(values) - {getattr(base, name)}) for name, values in self.dimensions())


def default_grid() -> Grid:
    """What fits into a minute."""
    processors = os.cpu_count() or 1
    processes = tuple(sorted({1, processors, max(1, processors // 2)}))
    return Grid((1, 4, 8), (1, 2, 4), (4, 8, 16, 32), processes, (1 << 20, 4 << 20, 8 << 20))


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """One benchmark of a destination. Raises SettingsError where it cannot be done in `seconds`.

    `source` is backed up in place of a generated `sample`; with a grid for `sweep` only whole backups are compared.
    """

    destination: Destination
    ssh: SshSettings = field(default_factory=SshSettings)
    limits: Limits = field(default_factory=Limits)
    source: Path | None = None
    sample: Sample = Sample.FEW_LARGE
    seconds: float = 60.0
    sweep: Grid | None = None
    level: int = 1
    hash: str = "md5"
    verify: Verify = Verify.AUTO

    def __post_init__(self) -> None:
        if not LEAST_SECONDS <= self.seconds <= MOST_SECONDS:
            raise SettingsError(f"{self.seconds:g} seconds; give from {LEAST_SECONDS} to {MOST_SECONDS}")
        if not 0 <= self.level <= 9:
            raise SettingsError(f"level is {self.level}; it must be from 0 to 9")
        if self.hash not in HASHES:
            raise SettingsError(f"{self.hash!r} is not a hash; choose {', '.join(HASHES)}")
        if self.sweep is not None:
            self._check_time(self.sweep.runs(self.limits))

    def _check_time(self, runs: int) -> None:
        needed = LEAST_SECONDS + runs * _SECONDS_A_RUN
        if self.seconds < needed:
            raise SettingsError(
                f"{runs} backups do not fit into {self.seconds:g} seconds; "
                f"give at least --seconds {needed:.0f}, or fewer values"
            )


@dataclass(frozen=True, slots=True)
class BenchStarted:
    """The server is there; `directory` was made on it, and goes again. It may take `seconds`."""

    host: str
    directory: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class SampleReady:
    """What will be packed and sent: a directory of this machine. Of a source of the user's no count is known."""

    path: bytes
    is_generated: bool
    entries: int | None = None
    files: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Something is being measured from now on, for about so many seconds."""

    step: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LeftoverRemoved:
    """The directory of a benchmark that died was removed from the server."""

    path: bytes


@dataclass(frozen=True, slots=True)
class BenchEnded:
    """All that could be measured was, and the server is as it was."""

    report: BenchReport


BenchEvent = BenchStarted | SampleReady | StepStarted | LeftoverRemoved | Measurement | BenchEnded
BenchListener = Callable[[BenchEvent], None]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What a benchmark has found, in the order in which it was measured."""

    told_before: ClassVar = ("measurements",)
    measurements: tuple[Measurement, ...] = ()
    advice: Advice | None = None
    """None where there was not enough to tell."""
    is_interrupted: bool = False
    seconds: float = 0.0
    leftovers: tuple[str, ...] = ()
    """What could not be removed from the server; the next benchmark from this machine tries again."""

    @property
    def jobs(self) -> tuple[WholeJob, ...]:
        return tuple(one for one in self.measurements if isinstance(one, WholeJob))

    @property
    def exit_code(self) -> ExitCode:
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.INCOMPLETE if self.leftovers or not self.jobs else ExitCode.COMPLETE
