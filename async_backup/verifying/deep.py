"""The deep check: archives are read back, by their index where they have one, else as a stream."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

from async_backup.archive.gzip import EXTRA_HEAD_SIZE, EXTRA_OVERHEAD, extra_member
from async_backup.archive.index import FOOTER_SIZE, FOOTER_TAG
from async_backup.archived import NoIndex, read_archive
from async_backup.checksum_files import checksum_name, write_checksum_file
from async_backup.errors import NO_SERVER, BackupError, DamagedArchive, RemoteError
from async_backup.remote.base import READBACK
from async_backup.remote.discarding import CLEANUP_GRACE, discarded_on_error
from async_backup.remote.places import SMALL, open_listed, path_in
from async_backup.slots import slot_size
from async_backup.tasks import side_by_side, task_group
from async_backup.unpackers import open_unpackers
from async_backup.verifying.choice import BadChecksumFile, read_record
from async_backup.verifying.hashing import Hasher
from async_backup.verifying.model import ArchiveChecked, Findings, Verdict
from async_backup.verifying.segments import SegmentCheck
from async_backup.verifying.streams import check_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.config import Limits
    from async_backup.remote.base import RemoteReader, RemoteStore
    from async_backup.remote.naming import RunId
    from async_backup.unpackers import Unpackers
    from async_backup.verifying.choice import Item
    from async_backup.verifying.model import Progress
    from async_backup.verifying.streams import StreamState

_FOOTER_BEGINNING = extra_member(FOOTER_TAG, bytes(FOOTER_SIZE - EXTRA_OVERHEAD))[:EXTRA_HEAD_SIZE]
_FOOTER_MAGIC = b"async-backup"
_BAD_FOOTER = "the footer at its end is damaged, or of a newer version of this program"


OpenUnpackers = Callable[[int, int, int, None], AbstractAsyncContextManager["Unpackers"]]
"""What opens unpackers that only check: `open_unpackers`, or a fake."""


class _LongSegments(Exception):
    """An archive has longer segments than there is room for; it comes later, by itself."""

    def __init__(self, longest: int) -> None:
        super().__init__(longest)
        self.longest = longest


class DeepCheck:
    """Reads archives back. Digests that nothing tells the hash of are of `algorithm`; `repair` is who writes them."""

    def __init__(
        self,
        store: RemoteStore,
        progress: Progress,
        limits: Limits,
        *,
        algorithm: str,
        repair: RunId | None,
        unpackers: OpenUnpackers = open_unpackers,
    ) -> None:
        self._store = store
        self._progress = progress
        self._limits = limits
        self._algorithm = algorithm
        self._repair = repair
        self._open_unpackers = unpackers
        self._later: list[tuple[Item, int]] = []

    async def run(self, items: Sequence[Item]) -> None:
        """Check some archives at once, those with longer segments than usual one after another at the end.

        Raises Unreachable, and NoSpace or PackingFailed where nothing can be checked here.
        """
        await self._check_all(items, slot_size(self._limits.segment_size), self._limits.connections)
        for item, longest in self._later:
            await self._check_alone(item, longest)

    async def _check_all(self, items: Sequence[Item], longest: int, at_once: int) -> None:
        channels = self._limits.connections * self._limits.channels
        opened = self._open_unpackers(self._limits.processes, channels, longest, None)
        small = [item for item in items if item.archive.size <= SMALL]
        others = [item for item in items if item.archive.size > SMALL]
        async with opened as unpackers, task_group() as tasks:

            async def check(item: Item) -> None:
                try:
                    await self._check(item, unpackers)
                except _LongSegments as error:
                    self._later.append((item, error.longest))

            tasks.start_soon(partial(side_by_side, check, others, at_once=at_once))
            tasks.start_soon(partial(side_by_side, check, small, at_once=self._limits.restores))

    async def _check_alone(self, item: Item, longest: int) -> None:
        try:
            await self._check_all([item], longest, 1)
        except NO_SERVER:
            raise
        except BackupError as error:
            findings = Findings()
            findings.note(Verdict.UNVERIFIED, str(error))
            self._end(item, findings)

    async def _check(self, item: Item, unpackers: Unpackers) -> None:
        findings, hasher = Findings(), Hasher(item.algorithm or self._algorithm, self._progress)
        recorded = ""
        try:
            recorded = await self._recorded(item, findings)
            async with open_listed(self._store, item.archive.path, item.archive.size) as reader:
                await self._check_content(reader, item, unpackers, hasher, findings)
        except NO_SERVER:
            raise
        except BackupError as error:
            findings.note(Verdict.UNVERIFIED, str(error))
        digest = hasher.hexdigest(item.archive.size)
        _compare(digest, recorded, hasher.algorithm, findings)
        if not item.algorithm:
            await self._complete(item, digest, findings)
        self._end(item, findings, algorithm=hasher.algorithm, recorded=recorded, digest=digest)

    def _end(
        self, item: Item, findings: Findings, *, algorithm: str = "", recorded: str = "", digest: str = ""
    ) -> None:
        path, size = item.archive.path, item.archive.size
        found = tuple(findings.kept)
        self._progress.end(
            ArchiveChecked(
                path, size, findings.verdict, found, findings.more, algorithm, recorded, digest, computed_by=READBACK
            )
        )

    async def _recorded(self, item: Item, findings: Findings) -> str:
        """What the checksum file says; empty where there is none, or none of use: the archive is read all the same."""
        try:
            return await read_record(self._store, item) if item.algorithm else ""
        except NO_SERVER:
            raise
        except (BadChecksumFile, RemoteError) as error:
            findings.note(Verdict.UNVERIFIED, str(error))
            return ""

    async def _check_content(
        self, reader: RemoteReader, item: Item, unpackers: Unpackers, hasher: Hasher, findings: Findings
    ) -> None:
        try:
            archive = await read_archive(reader, item.archive.path)
        except DamagedArchive as error:
            if isinstance(error, NoIndex) and not item.is_ours and not item.algorithm:
                findings.note(Verdict.PASSED_OVER, "neither its name nor its end is ours; name it to have it read")
                return
            await self._check_as_stream(reader, hasher, findings, error)
            return
        if archive.longest_segment > unpackers.slots.size:
            raise _LongSegments(archive.longest_segment)
        if archive.footer.is_incomplete:
            findings.note(Verdict.WHOLE, "it is incomplete: something changed or could not be read when it was made")
        await SegmentCheck(archive, unpackers, hasher, findings).run()

    async def _check_as_stream(
        self, reader: RemoteReader, hasher: Hasher, findings: Findings, error: DamagedArchive
    ) -> None:
        """Look whether what has no index, or a damaged one, can be read to its end without."""
        damage = str(error.__cause__ or error)
        if isinstance(error, NoIndex):
            damage = _BAD_FOOTER if await _has_footer(reader) else ""
        state = await check_stream(reader, hasher)
        _note_stream(state, damage, findings, may_be_cut=isinstance(error, NoIndex))

    async def _complete(self, item: Item, digest: str, findings: Findings) -> None:
        """There is no checksum file; write one if that is wanted, but only for what is whole."""
        if findings.verdict is not Verdict.WHOLE:
            return
        if self._repair is None:
            findings.note(Verdict.WHOLE, "no recorded checksum to compare with; --repair-checksums writes one")
        elif digest:
            try:
                await self._write(item, digest, self._repair)
            except NO_SERVER:
                raise
            except RemoteError as error:
                findings.note(Verdict.UNVERIFIED, f"its checksum file could not be written: {error}")

    async def _write(self, item: Item, digest: str, run: RunId) -> None:
        path = path_in(self._store, item.archive.path)
        discarded = partial(discarded_on_error, self._store, leftovers=[], grace=CLEANUP_GRACE)
        await write_checksum_file(
            self._store, path, algorithm=self._algorithm, digest=digest, run=run, discarded=discarded
        )
        await self._store.sync_directory(path.rpartition(b"/")[0] or b"/")
        self._progress.note_written(checksum_name(item.archive.path, self._algorithm))


async def _has_footer(reader: RemoteReader) -> bool:
    """Whether a footer of ours stands at the end, however damaged."""
    size = min(reader.size, FOOTER_SIZE)
    ending = await reader.read(reader.size - size, size)
    return ending.startswith(_FOOTER_BEGINNING) or _FOOTER_MAGIC in ending


def _note_stream(state: StreamState, damage: str, findings: Findings, *, may_be_cut: bool) -> None:
    """What it means that an archive has no index, or that there is some `damage` to it."""
    members = f"{state.members} members"
    if state.is_cut and may_be_cut:
        findings.note(Verdict.DAMAGED, f"it is cut: it ends too early; the first {members} can be read")
    elif not state.damage:
        rest = f"its {members} are whole, `restore --salvage` reads them from the beginning"
        whole = Verdict.WHOLE, f"no index; the tar stream is whole ({members})"
        findings.note(*(Verdict.DAMAGED, f"{damage}; {rest}") if damage else whole)
    else:
        rest = f"the first {members} can be read, then: {state.damage}"
        findings.note(Verdict.DAMAGED, f"{damage}; {rest}" if damage else rest)


def _compare(digest: str, recorded: str, algorithm: str, findings: Findings) -> None:
    if findings.verdict is not Verdict.WHOLE:
        return
    if not digest:
        findings.note(Verdict.UNVERIFIED, "it changed while it was read")
    elif recorded and digest != recorded:
        findings.note(
            Verdict.DAMAGED,
            f"it holds together, but its {algorithm} is not the recorded one: it is not the archive that was recorded",
        )
