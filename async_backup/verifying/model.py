"""What a verification is told, what it tells on its way, and what it says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive_names import USUAL_FORMATS
from async_backup.config import Limits, SshSettings, Verify
from async_backup.errors import (
    BackupError,
    ExitCode,
    SettingsError,
)

if TYPE_CHECKING:
    from async_backup.config import Destination

FINDINGS_KEPT = 20
"""Findings that are told of one archive; further ones are counted."""

FILES_NAMED = 3


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """One verification: of the archives and entries in `names`, or of all that there are.

    `deep` reads archives back; `repair_checksums` writes checksum files where there are none.
    """

    destination: Destination
    names: tuple[bytes, ...] = ()
    ssh: SshSettings = field(default_factory=SshSettings)
    limits: Limits = field(default_factory=Limits)
    timestamp_formats: tuple[str, ...] = USUAL_FORMATS
    verify: Verify = Verify.AUTO
    deep: bool = False
    repair_checksums: bool = False

    def __post_init__(self) -> None:
        if b"" in self.names:
            raise SettingsError("an empty name names no archive")
        if self.repair_checksums and not self.deep:
            raise SettingsError("--repair-checksums needs --deep: only what was found whole gets a checksum file")
        if self.deep and self.verify is Verify.COMMAND:
            raise SettingsError("--deep reads archives back; --verify command contradicts that")


class Verdict(StrEnum):
    """What an archive turned out to be, from best to worst."""

    WHOLE = "whole"
    PASSED_OVER = "passed-over"
    """Nothing was recorded of it, and by its name it is not ours."""
    UNVERIFIED = "unverified"
    """It could not be told."""
    DAMAGED = "damaged"


_ORDER = list(Verdict)


class Finding(NamedTuple):
    """Something to say about an archive, and what it makes of it: nothing where that is `WHOLE`.

    `segment` counts from 1 and begins at byte `offset`; of the members that are hurt the first are in `files`.
    """

    verdict: Verdict
    reason: str
    segment: int | None = None
    offset: int | None = None
    files: tuple[bytes, ...] = ()
    more_files: int = 0


@dataclass(frozen=True, slots=True)
class VerifyStarted:
    """The archives that will be verified, and their size in bytes."""

    archives: int
    size: int


@dataclass(frozen=True, slots=True)
class MethodFound:
    """Who computes digests: a command of the server, or "readback" for the `reason` given."""

    algorithm: str
    computed_by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BytesVerified:
    """Some bytes have been read back and looked at."""

    size: int


@dataclass(frozen=True, slots=True)
class ArchiveChecked:
    """An archive is done. `digest` is that of what lies on the server, `recorded` that of the checksum file."""

    archive: bytes
    size: int
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    more_findings: int = 0
    algorithm: str = ""
    recorded: str = ""
    digest: str = ""
    computed_by: str = ""


@dataclass(frozen=True, slots=True)
class ChecksumWritten:
    """A checksum file that was missing is there now."""

    path: bytes


@dataclass(frozen=True, slots=True)
class ChecksumAlone:
    """A checksum file whose archive is gone."""

    path: bytes


@dataclass(frozen=True, slots=True)
class VerifyEnded:
    """All that could be verified was."""

    report: VerifyReport


VerifyEvent = (
    VerifyStarted | MethodFound | BytesVerified | ArchiveChecked | ChecksumWritten | ChecksumAlone | VerifyEnded
)
VerifyListener = Callable[[VerifyEvent], None]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What became of a verification: `size` and `seconds` are those of the archives that are whole."""

    archives: int = 0
    counts: dict[Verdict, int] = field(default_factory=dict)
    size: int = 0
    computed_by: tuple[str, ...] = ()
    checksums_written: int = 0
    error: BackupError | None = None
    """What ended it before its end."""
    is_interrupted: bool = False
    seconds: float = 0.0

    def count(self, verdict: Verdict) -> int:
        return self.counts.get(verdict, 0)

    @property
    def not_reached(self) -> int:
        """Archives that it did not come to."""
        return self.archives - sum(self.counts.values())

    @property
    def exit_code(self) -> ExitCode:
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        if self.error is not None and not self.counts:
            return ExitCode.NOTHING_DONE
        is_wrong = self.error is not None or self.count(Verdict.DAMAGED) or self.count(Verdict.UNVERIFIED)
        return ExitCode.INCOMPLETE if is_wrong else ExitCode.COMPLETE


class Findings:
    """Gathers what there is to say about one archive."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.more = 0
        self.verdict = Verdict.WHOLE

    def add(self, finding: Finding) -> None:
        self.verdict = max(self.verdict, finding.verdict, key=_ORDER.index)
        if len(self.kept) < FINDINGS_KEPT:
            self.kept.append(finding)
        else:
            self.more += 1

    def note(self, verdict: Verdict, reason: str) -> None:
        """Say something about the archive as a whole."""
        self.add(Finding(verdict, reason))


class Progress:
    """Counts what was verified, and tells the listener."""

    def __init__(self, listener: VerifyListener) -> None:
        self._listener = listener
        self._counts: Counter[Verdict] = Counter()
        self._archives = self._size = self._written = 0
        self._methods: dict[str, None] = {}

    def start(self, archives: int, size: int) -> None:
        self._archives = archives
        self._listener(VerifyStarted(archives, size))

    def tell(self, event: MethodFound | BytesVerified | ChecksumAlone) -> None:
        self._listener(event)

    def note_written(self, path: bytes) -> None:
        self._written += 1
        self._listener(ChecksumWritten(path))

    def end(self, checked: ArchiveChecked) -> None:
        self._counts[checked.verdict] += 1
        if checked.verdict is Verdict.WHOLE:
            self._size += checked.size
            self._methods[checked.computed_by] = None
        self._listener(checked)

    def report(self, seconds: float, error: BackupError | None, *, interrupted: bool) -> VerifyReport:
        methods = tuple(self._methods)
        counts = (self._archives, dict(self._counts), self._size, methods, self._written)
        return VerifyReport(*counts, error, interrupted, seconds)
