"""What an examination is told, what it tells on its way, and what it says at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from async_backup.config import HASHES, Limits, SshSettings
from async_backup.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from async_backup.config import Destination


class State(StrEnum):
    """How a step ended. A warning costs speed or comfort; a failure stands in the way."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(StrEnum):
    """What is looked at, in this order."""

    RESOLUTION = "name resolution"
    TCP = "TCP"
    HOST_KEY = "host key"
    AUTHENTICATION = "authentication"
    SFTP = "SFTP"
    SHELL = "shell"
    DIGEST = "digest command"
    PATHS = "paths in the shell"
    EXTENSIONS = "extensions"
    WRITING = "write rights"
    OVERWRITING = "no overwriting"
    SPACE = "free space"
    ROUND_TRIP = "round trip"
    SESSIONS = "connections"
    CLOCK = "clock"
    RATE = "rate"
    CLEANUP = "cleaning up"


VITAL = frozenset(
    {
        Step.RESOLUTION,
        Step.TCP,
        Step.HOST_KEY,
        Step.AUTHENTICATION,
        Step.SFTP,
        Step.WRITING,
        Step.SPACE,
    }
)
"""Steps without which there is no backup at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a step has found, what that means for backups, and what to do about it, if anything.

    `advice` is a sentence; a command to copy stands on a line of its own behind it.
    """

    step: Step
    state: State
    found: str
    meaning: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step is under way; its finding follows."""

    step: Step


@dataclass(frozen=True, slots=True)
class DoctorSettings:
    """One examination. Of the limits, connections and channels say up to how many the server is tried."""

    destination: Destination
    ssh: SshSettings = field(default_factory=SshSettings)
    limits: Limits = field(default_factory=Limits)
    hash: str = "md5"

    def __post_init__(self) -> None:
        if self.hash not in HASHES:
            raise SettingsError(f"{self.hash!r} is not a hash; choose {', '.join(HASHES)}")


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was measured; None and "" for what was not. Times are in seconds, rates in bytes a second."""

    server: str = ""
    """What the server's software calls itself."""
    digest_command: str = ""
    verification: str = ""
    """What verifies archives: the name of a command on the server, or "readback"."""
    free: int | None = None
    round_trip: float | None = None
    connections: int | None = None
    channels: int | None = None
    """SFTP channels that the server accepts on each connection, beside a shell."""
    clock_difference: float | None = None
    """The server's clock minus ours."""
    upload: float | None = None
    download: float | None = None


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All findings, what was learnt, and what could not be removed from the server again."""

    told_before: ClassVar = ("findings",)
    findings: tuple[Finding, ...] = ()
    learnt: Learnt = field(default_factory=Learnt)
    leftovers: tuple[bytes, ...] = ()
    is_interrupted: bool = False
    seconds: float = 0.0

    def count(self, state: State) -> int:
        return sum(finding.state is state for finding in self.findings)

    @property
    def can_back_up(self) -> bool:
        return not any(finding.state is State.FAILED and finding.step in VITAL for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        if not self.can_back_up:
            return ExitCode.NOTHING_DONE
        return ExitCode.INCOMPLETE if self.count(State.FAILED) else ExitCode.COMPLETE


@dataclass(frozen=True, slots=True)
class DoctorEnded:
    """Everything was looked at, or nothing more can be."""

    report: DoctorReport


DoctorEvent = StepStarted | Finding | DoctorEnded
DoctorListener = Callable[[DoctorEvent], None]
