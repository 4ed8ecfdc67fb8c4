"""Restoring by the index: segments are fetched side by side, unpacked by several processes, and told of in order."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from anyio import CancelScope, Event, create_memory_object_stream

from async_backup.archive.unpack import DamagedSegment
from async_backup.errors import BackupError, DamagedArchive, RemoteTruncated, RestoreError
from async_backup.tasks import task_group
from async_backup.unpack.extents import extents_of
from async_backup.unpack.rules import Issue, IssueKind, Refused, safe_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectSendStream

    from async_backup.archived import IndexedArchive
    from async_backup.restoring.choice import Job
    from async_backup.restoring.model import Progress
    from async_backup.slots import Slot
    from async_backup.unpack.late import LateSpool
    from async_backup.unpack.members import OpenFile
    from async_backup.unpack.segment import Unpacked
    from async_backup.unpackers import Unpackers

_NAMED = 3
_ORPHAN = "the file that its data belongs to does not begin before it"


class _Outcome(NamedTuple):
    """What became of a segment; `damage` says what is wrong with it."""

    unpacked: Unpacked | None = None
    issues: tuple[Issue, ...] = ()
    damage: str = ""
    kept: frozenset[int] = frozenset()
    """The offsets of members that were restored in spite of the damage: nothing vouches for them."""
    written: int = 0
    """Bytes of payload of the large file under way."""
    is_orphan: bool = False
    """Whether the file that a piece belongs to is not there."""


class _Step:
    """A segment on its way; one that holds a piece knows the segment in which the file of the piece begins.

    `start` is where in the file's payload the piece has to begin: where the one before it ends.
    """

    def __init__(self, job: Job, header: _Step | None, start: int) -> None:
        self.job = job
        self.header = header
        self.start = start
        self.ended: _Outcome | None = None
        self._done = Event()

    def end(self, outcome: _Outcome) -> None:
        self.ended = outcome
        self._done.set()

    async def outcome(self) -> _Outcome:
        await self._done.wait()
        if self.ended is None:
            raise RuntimeError("a segment has ended without an outcome")
        return self.ended

    async def opened_file(self) -> OpenFile | None:
        """The large file that begins at the end of this segment; None where it is not restored."""
        unpacked = (await self.outcome()).unpacked
        return unpacked.opened if unpacked else None


class IndexedRestore:
    """Restores jobs of one archive; what has to wait for the end goes into `late`."""

    def __init__(
        self,
        archive: IndexedArchive,
        unpackers: Unpackers,
        progress: Progress,
        late: LateSpool,
        *,
        salvage: bool,
        is_target_free: bool,
    ) -> None:
        """`is_target_free` says that no file of somebody else's may be replaced."""
        self._archive = archive
        self._unpackers = unpackers
        self._progress = progress
        self._late = late
        self._salvage = salvage
        self._is_target_free = is_target_free
        self._is_over = False
        self._under_way: deque[_Step] = deque()
        self._open: OpenFile | None = None
        self._is_whole = True
        self._has_hole = False
        self._written = 0
        self._absent: set[int] = set()
        self._suspect: set[int] = set()

    def is_lost(self, path: bytes) -> bool:
        """Whether the member with that safe path is not there as the archive has it."""
        return hash(path) in self._absent

    async def run(self, jobs: Sequence[Job]) -> None:
        """Restore all; without `salvage` the first damage ends it. However it ends, what is there is accounted for.

        Raises DamagedArchive, RestoreError where there is no room, RemoteError, WorkerDied.
        """
        send, receive = create_memory_object_stream[None](self._unpackers.slots.count)
        try:
            async with receive, task_group() as tasks:
                tasks.start_soon(self._begin_all, jobs, send, tasks)
                async for _ in receive:
                    await self._take(self._under_way[0], await self._under_way[0].outcome())
            await self._end_file(is_kept=True)
        except OSError as error:
            raise RestoreError(f"it cannot be written: {error.strerror or error}") from error
        finally:
            with CancelScope(shield=True), suppress(BackupError, OSError):
                await self._wind_up()

    async def _begin_all(self, jobs: Sequence[Job], send: MemoryObjectSendStream[None], tasks: TaskGroup) -> None:
        header, start = None, 0
        async with send:
            for job in jobs:
                step = _Step(job, header if job.piece else None, start)
                header, start = (header, start + job.piece.size) if job.piece else (step, 0)
                slot = await self._unpackers.slots.acquire()
                self._under_way.append(step)
                tasks.start_soon(self._perform, step, slot)
                await send.send(None)

    async def _wind_up(self) -> None:
        """Note what was finished and not told of yet; a large file that lacks a piece is removed."""
        self._is_over = True
        while self._under_way:
            step = self._under_way[0]
            if step.ended is None:
                self._is_whole = self._is_whole and step.job.piece is None
                self._under_way.popleft()
            else:
                await self._take(step, step.ended)
        await self._end_file(is_kept=False)

    async def _perform(self, step: _Step, slot: Slot) -> None:
        segment = step.job.segment
        try:
            await self._archive.reader.read_into(segment.offset, slot.data(segment.length))
            step.end(await self._unpacked(step, slot))
        except DamagedSegment as error:
            step.end(await self._salvaged(step, slot, str(error)))
        except RemoteTruncated as error:
            step.end(_Outcome(damage=str(error)))
        finally:
            slot.release()

    async def _unpacked(self, step: _Step, slot: Slot) -> _Outcome:
        segment, piece = step.job.segment, step.job.piece
        if piece is None:
            return _Outcome(await self._unpackers.members(slot, segment, step.job.wanted))
        file = await step.header.opened_file() if step.header else None
        if file is None or file.member.path != piece.path:
            return _Outcome(is_orphan=True)
        if piece.offset != step.start or step.start + piece.size > file.member.size:
            raise DamagedSegment("the index tells of another place in its file")
        extents = extents_of(file.member, piece.offset, piece.size)
        issues = await self._unpackers.piece(slot, segment, file, extents)
        return _Outcome(issues=tuple(issues), written=piece.size)

    async def _salvaged(self, step: _Step, slot: Slot, damage: str) -> _Outcome:
        """What is left of members; but a doubtful file never takes the place of another."""
        if step.job.piece or not self._salvage or not self._is_target_free:
            return _Outcome(damage=damage)
        unpacked, kept = await self._unpackers.salvage(slot, step.job.segment, step.job.wanted)
        return _Outcome(unpacked, damage=damage, kept=kept)

    async def _take(self, step: _Step, outcome: _Outcome) -> None:
        """Note what became of the first segment under way."""
        self._under_way.popleft()
        if step.job.piece is None:
            await self._end_file(is_kept=True)
        if outcome.unpacked is not None:
            self._note(outcome.unpacked)
        if outcome.is_orphan and step.job.piece and not self.is_lost(_safe(step.job.piece.path)):
            self._note_damage(step.job, _Outcome(damage=_ORPHAN))
        if outcome.damage:
            self._note_damage(step.job, outcome)
        elif outcome.unpacked is not None:
            self._tell(self._doubtful_links(outcome.unpacked))
        self._is_whole = self._is_whole and not outcome.issues
        self._written += outcome.written
        self._tell(outcome.issues)
        self._progress.advance(step.job.segment.length)

    def _note(self, unpacked: Unpacked) -> None:
        self._remember(unpacked.issues)
        self._progress.add(unpacked)
        self._open, self._written = unpacked.opened, 0
        self._late.add(unpacked.late)
        if unpacked.no_room:
            raise RestoreError(f"it cannot be written: {unpacked.no_room}")

    def _tell(self, issues: Sequence[Issue]) -> None:
        self._remember(issues)
        self._progress.note(issues)

    def _remember(self, issues: Sequence[Issue]) -> None:
        self._absent |= {hash(_safe(issue.path)) for issue in issues if issue.kind.is_absent}
        self._suspect |= {hash(_safe(issue.path)) for issue in issues if issue.kind is IssueKind.SUSPECT}

    async def _end_file(self, *, is_kept: bool) -> None:
        """The large file under way has all its pieces, or never will."""
        file, self._open = self._open, None
        if file is not None:
            missing = file.member.size - self._written
            if is_kept and self._is_whole and missing and not self._has_hole:
                self._tell([Issue(file.member.path, IssueKind.INCOMPLETE, f"the index lacks {missing} bytes of it")])
            is_kept, self._is_whole, self._has_hole = is_kept and self._is_whole, True, False
            self._note(await self._unpackers.finish(file, is_kept=is_kept))

    def _doubtful_links(self, unpacked: Unpacked) -> list[Issue]:
        """Hard links to files that nothing vouches for: they are the same files."""
        reason = "it is a link to a file that nothing vouches for"
        return [
            Issue(late.path, IssueKind.SUSPECT, reason)
            for late in unpacked.late
            if late.target and hash(late.target) in self._suspect
        ]

    def _note_damage(self, job: Job, outcome: _Outcome) -> None:
        damage, issues = outcome.damage, _lost(job, outcome)
        if not self._salvage:
            self._is_whole = self._is_whole and job.piece is None
        if not self._salvage and not self._is_over:
            names = ", ".join(os.fsdecode(issue.path) for issue in issues[:_NAMED])
            more = f" and {len(issues) - _NAMED} more" if len(issues) > _NAMED else ""
            raise DamagedArchive(
                f"{self._archive.name} is damaged in the segment at byte {job.segment.offset}: {damage}; "
                f"it holds {names or 'no members'}{more}. --salvage restores all the rest"
            )
        self._tell(issues)
        self._has_hole = self._has_hole or job.piece is not None


def _lost(job: Job, outcome: _Outcome) -> list[Issue]:
    """The members that a damaged segment costs, and those that were restored nevertheless."""
    damage = outcome.damage
    if job.piece is not None:
        where = f"{job.piece.size} bytes of it are zeros: its segment at byte {job.segment.offset} is damaged"
        return [Issue(job.piece.path, IssueKind.INCOMPLETE, f"{where} ({damage})")]
    wanted = job.wanted.offsets if job.wanted else None
    told = {issue.path for issue in outcome.unpacked.issues} if outcome.unpacked else set()
    where = f"the segment at byte {job.segment.offset} is damaged ({damage})"
    lost = IssueKind.DAMAGED, f"lost: {where}"
    suspect = IssueKind.SUSPECT, f"restored, but nothing vouches for it: {where}"
    paths = job.wanted.paths if job.wanted else {}
    found = ((paths.get(member.offset, member.path), member.offset) for member in job.segment.known())
    return [
        Issue(path, *(suspect if offset in outcome.kept else lost))
        for path, offset in found
        if path not in told and (wanted is None or offset in wanted)
    ]


def _safe(path: bytes) -> bytes:
    """The path as links refer to it."""
    try:
        return safe_path(path)
    except Refused:
        return path
