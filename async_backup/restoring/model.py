"""What a restore is told, what it tells on its way, and what it says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from async_backup.archive_names import USUAL_FORMATS
from async_backup.config import Limits, SshSettings, check_patterns
from async_backup.errors import BackupError, ExitCode, SettingsError
from async_backup.restoring.wish import Wish
from async_backup.unpack.rules import Issue, IssueKind, Overwrite

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from async_backup.config import Destination
    from async_backup.unpack.segment import Unpacked

ISSUES_KEPT = 100
"""Issues that a report lists; further ones are counted, and each was an event."""


class Which(NamedTuple):
    """Of which entries the newest archive is restored: of all where none is named, and the newest before `as_of`."""

    entries: tuple[bytes, ...] = ()
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class RestoreSettings:
    """One restore: of `archive` (a path, an entry or `ENTRY@TIME`), all or some `paths` of it, below `target`.

    `include` and `exclude` are patterns, see `Wish`.
    """

    destination: Destination
    archive: bytes
    target: Path
    paths: tuple[bytes, ...] = ()
    ssh: SshSettings = field(default_factory=SshSettings)
    limits: Limits = field(default_factory=Limits)
    timestamp_formats: tuple[str, ...] = USUAL_FORMATS
    overwrite: Overwrite = Overwrite.NEVER
    salvage: bool = False
    devices: bool = False
    same_permissions: bool = False
    outside_links: bool = False
    numeric_owner: bool = False
    xattrs: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.archive:
            raise SettingsError("no archive was named")
        if b"" in self.paths:
            raise SettingsError("an empty path names nothing in an archive")
        check_patterns(self.include, "this is no pattern of gitignore to include")
        check_patterns(self.exclude)

    @property
    def wish(self) -> Wish:
        """What is wanted of the archive."""
        return Wish(self.paths, self.include, self.exclude)


@dataclass(frozen=True, slots=True)
class RestoreStarted:
    """The archive was found and opened; `members` is None where it has no index, for the `reason` given."""

    archive: bytes
    size: int
    members: int | None
    wanted_size: int
    reason: str = ""
    is_incomplete: bool = False
    """Whether not all that belongs into it could be read when it was made."""


@dataclass(frozen=True, slots=True)
class BytesRestored:
    """So many bytes of the archive have come and been dealt with."""

    stored: int


@dataclass(frozen=True, slots=True)
class IssueFound:
    """A member needs a word."""

    issue: Issue


@dataclass(frozen=True, slots=True)
class RestoreEnded:
    """All that could be restored is there."""

    report: RestoreReport


@dataclass(frozen=True, slots=True)
class AllStarted:
    """So many archives, of so many bytes together, are going to be restored."""

    archives: int
    size: int


@dataclass(frozen=True, slots=True)
class AllEnded:
    """The last of them has been dealt with."""

    report: AllReport


RestoreEvent = AllStarted | AllEnded | RestoreStarted | BytesRestored | IssueFound | RestoreEnded
RestoreListener = Callable[[RestoreEvent], None]


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What became of a restore: `files` counts all kinds of members that are there, `raw_size` is in bytes."""

    archive: bytes
    files: int
    raw_size: int
    issues: tuple[Issue, ...] = ()
    """The first ones; of those about metadata one for each reason, with how many times it came."""
    counts: dict[IssueKind, int] = field(default_factory=dict)
    error: BackupError | None = None
    """What ended it before its end."""
    is_interrupted: bool = False
    seconds: float = 0.0
    is_incomplete: bool = False
    """Whether the archive has lacked something since it was made; that is no fault of the restore."""
    is_unwanted: bool = False
    """Whether patterns leave nothing of it, where other archives are restored as well."""

    @property
    def exit_code(self) -> ExitCode:
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        if self.error is not None and not self.files:
            return ExitCode.NOTHING_DONE
        lost = self.error is not None or any(kind.is_loss for kind in self.counts)
        return ExitCode.INCOMPLETE if lost else ExitCode.COMPLETE


@dataclass(frozen=True, slots=True)
class AllReport:
    """What became of all archives: `reports` of those that were begun, and the paths of those that were `left`."""

    reports: tuple[RestoreReport, ...]
    left: tuple[bytes, ...] = ()
    is_interrupted: bool = False
    seconds: float = 0.0

    told_before: ClassVar = ("reports",)

    @property
    def whole(self) -> int:
        """Archives of which all that is wanted came back."""
        return sum(report.exit_code == ExitCode.COMPLETE for report in self.reports) - self.unwanted

    @property
    def unwanted(self) -> int:
        """Archives of which nothing is wanted."""
        return sum(report.is_unwanted for report in self.reports)

    @property
    def exit_code(self) -> ExitCode:
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        if self.whole + self.unwanted == len(self.reports) and not self.left:
            return ExitCode.COMPLETE
        return ExitCode.INCOMPLETE if any(report.files for report in self.reports) else ExitCode.NOTHING_DONE


class Progress:
    """Counts what was restored, and tells the listener."""

    def __init__(self, listener: RestoreListener) -> None:
        self._listener = listener
        self._issues: list[Issue] = []
        self._common: dict[tuple[IssueKind, str], Issue] = {}
        self.counts: Counter[IssueKind] = Counter()
        self.files = 0
        self.raw_size = 0

    def add(self, unpacked: Unpacked) -> None:
        """Count what an unpacker has done."""
        self.files += unpacked.files
        self.raw_size += unpacked.size
        self.note(unpacked.issues)

    def note(self, issues: Sequence[Issue]) -> None:
        """Count issues; those about metadata are told once for each reason, not once a file."""
        for issue in issues:
            self.counts[issue.kind] += issue.times
            if not issue.kind.is_common:
                self._issues += [issue] if len(self._issues) < ISSUES_KEPT else []
                self._listener(IssueFound(issue))
                continue
            known = self._common.get((issue.kind, issue.reason))
            self._common[issue.kind, issue.reason] = issue.again(known)
            if known is None:
                self._listener(IssueFound(issue))

    def advance(self, stored: int) -> None:
        """Tell that bytes of the archive were dealt with."""
        self._listener(BytesRestored(stored))

    def report(self, archive: bytes, seconds: float, error: BackupError | None, *, interrupted: bool) -> RestoreReport:
        issues = *self._issues, *self._common.values()
        return RestoreReport(archive, self.files, self.raw_size, issues, dict(self.counts), error, interrupted, seconds)
