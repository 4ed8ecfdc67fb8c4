"""What a restore will do, told before anything is written."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from anyio import to_thread

from async_backup.archive.member import HARD_LINK
from async_backup.archived import NoIndex, read_archive
from async_backup.errors import DamagedArchive, RestoreError
from async_backup.remote.places import open_listed
from async_backup.restoring.choice import choose, wanted_members
from async_backup.restoring.prospects import Prospects
from async_backup.restoring.rules import rules_of
from async_backup.restoring.target import check_can_be_made, check_free, prepare
from async_backup.unpack.rules import Overwrite

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from async_backup.archive.index import Footer, Member
    from async_backup.archived import IndexedArchive
    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteStore
    from async_backup.restoring.choice import Job
    from async_backup.restoring.model import RestoreSettings
    from async_backup.unpack.rules import Issue, UnpackRules


class Foreseen(NamedTuple):
    """What of an archive would be restored, and by which rules."""

    archive: StoredArchive
    rules: UnpackRules
    jobs: Sequence[Job]
    footer: Footer
    directory: bytes = b""
    """Where it comes to in the directory that was asked for."""

    def members(self) -> Iterator[tuple[Member, Issue | None]]:
        """One by one, with what would keep it from coming; under the names in the directory that was asked for.

        Raises DamagedArchive where the index cannot be read, RestoreError where the target cannot.
        """
        try:
            with Prospects(self.rules) as prospects:
                for member in wanted_members(self.jobs):
                    issue = prospects.issue_of(member)
                    yield self._placed(member), issue and issue._replace(path=self._placed_path(issue.path))
        except ValueError as error:
            raise _damaged_index(os.fsdecode(self.archive.path), error) from error
        except OSError as error:
            raise not_here(error) from error

    def _placed(self, member: Member) -> Member:
        link = self._placed_path(member.link) if member.type == HARD_LINK else member.link
        return member._replace(path=self._placed_path(member.path), link=link)

    def _placed_path(self, path: bytes) -> bytes:
        return self.directory + b"/" + path if self.directory else path

    @property
    def to_fetch(self) -> int:
        """Bytes of the archive."""
        return sum(job.segment.length for job in self.jobs)


async def foresee(store: RemoteStore, archive: StoredArchive, settings: RestoreSettings) -> Foreseen:
    """What `settings` want of the archive; it is not fetched, only its index.

    Raises NotInArchive, RestoreError for what is in the way or a target that cannot be written to, DamagedArchive,
    RemoteError.
    """
    indexed = await _read(store, archive, is_salvaged=settings.salvage)
    try:
        jobs = await to_thread.run_sync(look_ahead, indexed, settings)
    except OSError as error:
        raise not_here(error) from error
    return Foreseen(archive, rules_of(settings), jobs, indexed.footer)


async def check_wanted(store: RemoteStore, archive: StoredArchive, settings: RestoreSettings) -> None:
    """Raise NotInArchive where patterns leave nothing of an archive, as far as that is known before it is read."""
    if settings.wish.has_patterns:
        with suppress(DamagedArchive):
            indexed = await _read(store, archive, is_salvaged=settings.salvage)
            await to_thread.run_sync(choose, indexed.name, indexed.segments, settings.wish)


async def _read(store: RemoteStore, archive: StoredArchive, *, is_salvaged: bool) -> IndexedArchive:
    try:
        async with open_listed(store, archive.path, archive.size) as reader:
            return await read_archive(reader, archive.path)
    except DamagedArchive as error:
        if isinstance(error, NoIndex) or is_salvaged:
            raise DamagedArchive(f"{error}; what it would bring is not known before all of it is read") from error
        raise DamagedArchive(f"{error}; --salvage reads it from its beginning instead") from error


def not_here(error: OSError) -> RestoreError:
    """What is said where the system lets nothing of an archive be restored."""
    return RestoreError(f"it cannot be restored here: {error.strerror or error}")


def _damaged_index(name: str, error: ValueError) -> DamagedArchive:
    return DamagedArchive(f"{name}: its index cannot be read: {error}")


def look_ahead(archive: IndexedArchive, settings: RestoreSettings) -> list[Job]:
    """The segments that a restore fetches; nothing is written. Raises as `foresee`."""
    jobs = choose(archive.name, archive.segments, settings.wish)
    if os.path.lexists(settings.target):
        prepare(settings.target)  # which makes nothing then
        if settings.overwrite is Overwrite.NEVER:
            _check_free(archive.name, settings.target, jobs)
    else:
        check_can_be_made(settings.target)
    return jobs


def _check_free(name: str, target: Path, jobs: Sequence[Job]) -> None:
    try:
        check_free(target, wanted_members(jobs))
    except ValueError as error:
        raise _damaged_index(name, error) from error
