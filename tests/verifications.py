"""Verifications for tests: of a store in memory, checked in this process, or by the public call."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from async_backup.archive.index import FOOTER_SIZE, PIECE, IndexWriter, member_record, pack_records, read_footer
from async_backup.archive.member import Meta
from async_backup.archive_names import CLASSIC, NameParser
from async_backup.catalog import catalog_of, read_directories
from async_backup.checksum_files import checksum_line, checksum_name
from async_backup.config import DEFAULT_TIMESTAMP, Limits
from async_backup.remote.memory import MemoryStore
from async_backup.verifying.choice import checksum_files, items
from async_backup.verifying.deep import DeepCheck
from async_backup.verifying.digests import check_digests
from async_backup.verifying.model import (
    ArchiveChecked,
    ChecksumWritten,
    Progress,
    Verdict,
    VerifyReport,
    VerifySettings,
)
from async_backup.verifying.verify import verify
from tests.archives import segments_of
from tests.restores import in_this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backup.archive.index import Member, Segment
    from async_backup.config import Destination, SshSettings
    from async_backup.remote.naming import RunId
    from async_backup.verifying.choice import Item
    from async_backup.verifying.model import Finding, VerifyEvent

NAME = b"entry-2026-11-20T120000.tar.gz"
LIMITS = Limits(processes=1, connections=2, channels=1)


@dataclass
class Verified:
    """A report, and all events on the way to it."""

    report: VerifyReport
    events: list[VerifyEvent] = field(default_factory=list)

    def checked(self, name: bytes = NAME) -> ArchiveChecked:
        (found,) = [event for event in self.events if isinstance(event, ArchiveChecked) and event.archive == name]
        return found

    def verdict(self, name: bytes = NAME) -> Verdict:
        return self.checked(name).verdict

    def reasons(self, name: bytes = NAME) -> list[str]:
        return [finding.reason for finding in self.checked(name).findings]

    def finding(self, name: bytes = NAME) -> Finding:
        """The only one."""
        (finding,) = self.checked(name).findings
        return finding

    @property
    def written(self) -> list[bytes]:
        return [event.path for event in self.events if isinstance(event, ChecksumWritten)]


def checksum_of(content: bytes, name: bytes = NAME, algorithm: str = "md5") -> bytes:
    return checksum_line(hashlib.new(algorithm, content).hexdigest(), name)


def store_of(*contents: bytes, recorded: Sequence[bytes] | None = None, **options: Any) -> MemoryStore:
    """Archives (the first one is `NAME`) beside the checksum files of what was `recorded`; None for what they are."""
    store = MemoryStore(**options)
    for number, content in enumerate(contents):
        store.put(b"/backups/" + name_of(number), content)
    for number, content in enumerate(contents if recorded is None else recorded):
        store.put(b"/backups/" + checksum_name(name_of(number), "md5"), checksum_of(content, name_of(number)))
    return store


def name_of(number: int) -> bytes:
    return b"entry-2026-11-%02dT120000.tar.gz" % (20 + number)


async def _items(store: MemoryStore) -> list[Item]:
    listed = await read_directories(store)
    catalog = catalog_of(listed, NameParser((DEFAULT_TIMESTAMP, CLASSIC)))
    return list(items(catalog.archives, checksum_files(listed), are_named=False))


async def deep_check(store: MemoryStore, *, repair: RunId | None = None, limits: Limits = LIMITS) -> Verified:
    """Read back all archives of the store."""
    events: list[VerifyEvent] = []
    progress, found = Progress(events.append), await _items(store)
    progress.start(len(found), 0)
    check = DeepCheck(store, progress, limits, algorithm="md5", repair=repair, unpackers=in_this_process)
    await check.run(found)
    return Verified(progress.report(1.0, None, interrupted=False), events)


async def shallow_check(store: MemoryStore) -> Verified:
    """Compare the digests of all archives of the store."""
    events: list[VerifyEvent] = []
    progress, found = Progress(events.append), await _items(store)
    progress.start(len(found), 0)
    await check_digests(store, found, progress, at_once=2)
    return Verified(progress.report(1.0, None, interrupted=False), events)


async def verified(destination: Destination, ssh: SshSettings, *names: bytes, **options: Any) -> Verified:
    """What the public call says."""
    events: list[VerifyEvent] = []
    settings = VerifySettings(destination, names, ssh, **{"limits": LIMITS, **options})
    return Verified(await verify(settings, events.append), events)


def forged(archive: bytes, change: Callable[[list[Member]], list[Member]]) -> bytes:
    """The archive with another index, whose checksums are right: `change` makes the records of each segment."""
    footer = read_footer(archive[-FOOTER_SIZE:])
    index, parts = IndexWriter(), [archive[: footer.index_offset]]
    for segment in segments_of(archive):
        records = change(list(segment.listing()))
        parts.append(index.add(_with_records(segment, records)))
    return b"".join([*parts, index.finish(footer.index_offset)])


def with_records_cut_short(archive: bytes) -> bytes:
    """The archive with an index of which only the checksums are right."""
    footer, index = read_footer(archive[-FOOTER_SIZE:]), IndexWriter()
    parts = [index.add(segment._replace(records=segment.records[:-3])) for segment in segments_of(archive)]
    return b"".join([archive[: footer.index_offset], *parts, index.finish(footer.index_offset)])


def lacking_something(archive: bytes) -> bytes:
    """The archive with a footer that says that not all that belongs into it could be read."""
    footer, index = read_footer(archive[-FOOTER_SIZE:]), IndexWriter()
    parts = [index.add(segment) for segment in segments_of(archive)]
    return b"".join([archive[: footer.index_offset], *parts, index.finish(footer.index_offset, is_incomplete=True)])


def _with_records(segment: Segment, records: Sequence[Member]) -> Segment:
    headers = sum(member.type != PIECE for member in records)
    return segment._replace(members=headers, records=pack_records([_record(member) for member in records]))


def _record(member: Member) -> bytes:
    kind, mode, uid, gid, size, mtime_ns, ctime_ns, inode = member[1:9]
    meta = Meta(kind, mode, uid, gid, size, mtime_ns, ctime_ns, 0, inode, 0)
    return member_record(member.path, meta, member.link, member.offset, member.flags)
