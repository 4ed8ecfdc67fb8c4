"""What a prune is told, what it tells on its way, and what it says at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from async_backup.archive_names import USUAL_FORMATS
from async_backup.errors import BackupError, ExitCode, SettingsError

if TYPE_CHECKING:
    from datetime import datetime

    from async_backup.pruning.orphans import Orphan
    from async_backup.retention import KeepRules

FUTURE = "future"
"""The reason by which `decide` keeps what lies in the future."""


@dataclass(frozen=True, slots=True)
class PruneSettings:
    """Which archives of which entries stay (of all where none is named); raises SettingsError without any rule."""

    rules: KeepRules
    entries: tuple[bytes, ...] = ()
    timestamp_formats: tuple[str, ...] = USUAL_FORMATS
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.rules.is_empty:
            raise SettingsError(
                "no rule says what to keep, so every archive would go; give one or more, such as "
                "--keep-daily 7 --keep-weekly 4"
            )


@dataclass(frozen=True, slots=True)
class ArchiveJudged:
    """An archive and what is to become of it.

    Attributes:
        path: Its path in the destination.
        entry: What it is an archive of.
        when: The time in its name.
        size: Bytes.
        stays: Whether it is kept.
        reasons: The rules that keep it.
        problem: Why it is never touched, whatever the rules say.
        is_unreadable: Whether that is because the server did not let us look.
        checksums: The hashes of which a checksum file lies beside it.
    """

    path: bytes
    entry: bytes
    when: datetime
    size: int
    stays: bool
    reasons: tuple[str, ...] = ()
    problem: str = ""
    is_unreadable: bool = False
    checksums: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchiveUnjudged:
    """An archive whose name tells no time, so that no rule applies to it; it is not touched. `size` is in bytes."""

    path: bytes
    size: int


@dataclass(frozen=True, slots=True)
class OrphanFound:
    """A checksum file of ours whose archive is gone: it goes as well."""

    path: bytes


@dataclass(frozen=True, slots=True)
class ArchiveRemoved:
    """An archive of `size` bytes is gone."""

    path: bytes
    size: int


@dataclass(frozen=True, slots=True)
class OrphanRemoved:
    """A checksum file without an archive is gone."""

    path: bytes


@dataclass(frozen=True, slots=True)
class RemovalFailed:
    """A file that should have gone is there still, or nobody knows."""

    path: bytes
    error: BackupError


@dataclass(frozen=True, slots=True)
class PruneEnded:
    """Nothing more will be removed."""

    report: PruneReport


PruneEvent = ArchiveJudged | ArchiveUnjudged | OrphanFound | ArchiveRemoved | OrphanRemoved | RemovalFailed | PruneEnded
PruneListener = Callable[[PruneEvent], None]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What there is, by entry and from the oldest to the newest, and the checksum files whose archives are gone."""

    judged: tuple[ArchiveJudged, ...] = ()
    unjudged: tuple[ArchiveUnjudged, ...] = ()
    orphans: tuple[Orphan, ...] = ()

    @property
    def doomed(self) -> tuple[ArchiveJudged, ...]:
        return tuple(judged for judged in self.judged if not judged.stays)

    @property
    def future(self) -> int:
        """How many archives stay since their times lie in the future."""
        return sum(FUTURE in judged.reasons for judged in self.judged)

    @property
    def unreadable(self) -> int:
        """How many archives stay since the server did not let us look at them."""
        return sum(judged.is_unreadable for judged in self.judged)


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What became of a prune; sizes are bytes of archives, without their checksum files."""

    archives: int = 0
    """Archives that were judged."""
    unjudged: int = 0
    """Archives whose names tell no time; they are not touched."""
    future: int = 0
    """Archives that stay since their times lie in the future."""
    unreadable: int = 0
    """Archives that stay since the server did not let us look at them."""
    doomed: int = 0
    """Archives that no rule keeps; after a dry run all of them are there still."""
    doomed_size: int = 0
    removed: int = 0
    freed: int = 0
    orphans_removed: int = 0
    failed: int = 0
    """Files, checksum files among them, that could not be removed."""
    dry_run: bool = False
    is_interrupted: bool = False

    @property
    def exit_code(self) -> ExitCode:
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.INCOMPLETE if self.failed or self.unreadable else ExitCode.COMPLETE
