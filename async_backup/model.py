"""The nouns of a backup: entries, and what became of each."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from async_backup.archive.jobs import path_in
from async_backup.archive.member import ProblemKind
from async_backup.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from async_backup.archive.member import Problem
    from async_backup.errors import BackupError
    from async_backup.remote.base import StoredDigest

PROBLEMS_KEPT = 100
"""Problems that a report lists for one entry; further ones are counted, and each was an event."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a source, and the archive that it becomes.

    `directory` is the archive's place below the destination (b"" is the destination itself).
    """

    source: Path
    name: bytes
    directory: bytes
    archive: bytes

    @property
    def path(self) -> bytes:
        """The path of the entry on this machine."""
        return os.path.join(os.fsencode(self.source), self.name)

    @property
    def remote_path(self) -> bytes:
        """The path of the archive below the destination."""
        return path_in(self.directory, self.archive)

    @property
    def remote_name(self) -> bytes:
        """What the commands that read archives call the entry."""
        return path_in(self.directory, self.name)


@dataclass(frozen=True, slots=True)
class Problems:
    """What went wrong with single files of an entry: the first ones, and how many there were."""

    first: tuple[Problem, ...] = ()
    count: int = 0
    losses: int = 0
    has_no_checksum: bool = False
    """Whether one of them is that the checksum file was not written."""

    def plus(self, problem: Problem, *, is_loss: bool) -> Problems:
        first = (*self.first, problem) if len(self.first) < PROBLEMS_KEPT else self.first
        has_no_checksum = self.has_no_checksum or problem.kind is ProblemKind.CHECKSUM_FILE
        return Problems(first, self.count + 1, self.losses + is_loss, has_no_checksum)


@dataclass(frozen=True, slots=True)
class Committed:
    """The archive stands under its final name, and the server's digest of it equals ours. Sizes in bytes."""

    entry: Entry
    size: int
    raw_size: int
    members: int
    digest: str
    stored: StoredDigest
    problems: Problems
    attempts: int = 1
    destination: str = ""
    copied: int = 0
    """Bytes of it that the server took from an older archive, and which were not sent."""
    same_as: bytes = b""
    """The older archive of which it is a further name, where the entry has not changed since, and nothing was sent."""


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no archive of this entry from this run."""

    entry: Entry
    error: BackupError
    attempts: int = 1
    destination: str = ""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The run was stopped before this entry was committed."""

    entry: Entry
    destination: str = ""


Outcome = Committed | Failed | Interrupted


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every entry at every destination, in the order in which they ended."""

    outcomes: tuple[Outcome, ...] = ()
    source_errors: tuple[BackupError, ...] = ()
    """Sources whose entries could not all be listed."""
    is_interrupted: bool = False
    seconds: float = 0.0
    leftovers: tuple[str, ...] = field(default=())
    """Temporary files that could not be removed from the server; the next run tries again."""
    destinations: tuple[str, ...] = ()
    """As outcomes name them."""
    empty_sources: tuple[bytes, ...] = ()
    """Sources in which there is nothing at all, as where a disk is not mounted."""

    @property
    def committed(self) -> tuple[Committed, ...]:
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Committed))

    @property
    def failed(self) -> tuple[Failed, ...]:
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Failed))

    @property
    def interrupted(self) -> tuple[Interrupted, ...]:
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Interrupted))

    @property
    def archived(self) -> tuple[Committed, ...]:
        """One committed archive of each entry that has any, wherever it stands: sizes count once."""
        return tuple({outcome.entry.path: outcome for outcome in self.committed}.values())

    @property
    def exit_code(self) -> ExitCode:
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        lost = (
            self.source_errors
            or self.empty_sources
            or self.failed
            or any(outcome.problems.losses for outcome in self.committed)
        )
        if not self.outcomes and not self.source_errors:
            return ExitCode.NOTHING_DONE
        return ExitCode.INCOMPLETE if lost else ExitCode.COMPLETE
