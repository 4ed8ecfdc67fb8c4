"""A planned segment and the files it names become one gzip member, whatever the files do meanwhile.

The archive stays valid in any case: what cannot be read is left out, what shrinks is filled with zeros or
stored with the size that was read, what grows is cut; each is reported by name.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.descent import Descent, identity_of, open_file
from async_backup.archive.gzip import compress_member
from async_backup.archive.header import END_OF_ARCHIVE, header, padding
from async_backup.archive.index import member_record, pack_records, piece_record
from async_backup.archive.member import REGULAR, Problem, ProblemKind, Replaced, explain, meta_of
from async_backup.archive.plan import Batch, Group, Job, Leader, Node, Piece

if TYPE_CHECKING:
    from async_backup.archive.member import Meta

GROWTH = 4
"""Small files that grew since the plan may add up to a segment's size divided by this; beyond it they are cut."""


class Packed(NamedTuple):
    """One packed segment: its gzip member and what the index says of it; lengths in bytes."""

    data: bytes
    raw_length: int
    sha256: bytes
    records: bytes
    members: int
    problems: list[Problem]
    lost_leader: bool
    """A file that other members of the archive are links to is missing: the archive must be made again."""


def pack(source: bytes, job: Job, *, segment_size: int, level: int) -> Packed:
    """Pack one segment of an entry in the directory `source`; raises OSError where that cannot be opened."""
    with Descent(source) as descent:
        segment = _Segment(descent, segment_size // GROWTH)
        if isinstance(job, Batch):
            segment.add_batch(job)
        else:
            segment.add_piece(job)
    return segment.packed(level)


class _Segment:
    """The raw bytes of one segment while they are gathered."""

    def __init__(self, descent: Descent, room: int) -> None:
        self._descent = descent
        self._room = room
        self._parts: list[bytes] = []
        self._records: list[bytes] = []
        self._problems: list[Problem] = []
        self._offset = 0
        self._lost_leader = False

    def packed(self, level: int) -> Packed:
        raw = b"".join(self._parts)
        self._parts.clear()
        data = compress_member(raw, level)
        digest = hashlib.sha256(data).digest()
        records = pack_records(self._records)
        return Packed(data, len(raw), digest, records, len(self._records), self._problems, self._lost_leader)

    def add_batch(self, batch: Batch) -> None:
        for group in batch.groups:
            self._add_group(group)
        if batch.is_last:
            self._parts.append(END_OF_ARCHIVE)

    def _add_group(self, group: Group) -> None:
        prefix = group.path + b"/" if group.path else b""
        directory: int | OSError | None = None
        for item in group.items:
            path = prefix + item[0]
            if isinstance(item, Node):
                self._add_member(path, item.meta, b"", item.link)
                continue
            if directory is None:
                directory = self._opened(group.path, group.identity)
            if isinstance(directory, OSError):
                self._lose(path, directory, is_leader=isinstance(item, Leader))
            elif isinstance(item, Leader):
                self._add_leader(path, directory, item)
            else:
                self._add_small(path, directory, item[0], item[1])

    def _opened(self, path: bytes, identity: tuple[int, int]) -> int | OSError:
        try:
            directory = self._descent.enter(path)
            if identity_of(directory) != identity:
                raise Replaced
        except OSError as error:
            return error
        return directory

    def _add_leader(self, path: bytes, directory: int, leader: Leader) -> None:
        before = len(self._records)
        self._add_small(path, directory, leader.name, leader.meta.size, identity=leader.meta.identity)
        if len(self._records) == before:
            self._lost_leader = True

    def _add_small(
        self, path: bytes, directory: int, name: bytes, planned: int, identity: tuple[int, int] | None = None
    ) -> None:
        try:
            descriptor = open_file(name, directory)
            try:
                meta = meta_of(os.fstat(descriptor))
                if meta is None or meta.type != REGULAR or (identity and identity != meta.identity):
                    raise Replaced
                size = self._granted(meta.size, planned)
                data = os.read(descriptor, size + 1)
                if len(data) < size:
                    data = _read_on(descriptor, data, size + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._problems.append(Problem(path, *explain(error)))
            return
        if len(data) != meta.size:
            found = meta.size if size < meta.size else len(data)
            self._problems.append(Problem(path, ProblemKind.CHANGED, _size_change(size, found)))
            data = data[:size]
            meta = meta._replace(size=len(data))
        self._add_member(path, meta, data)

    def _granted(self, size: int, planned: int) -> int:
        """How much of a file to take: all of it, unless it outgrew its plan by more than there is room for."""
        growth = size - planned
        if growth <= 0:
            return size
        if growth > self._room:
            return planned
        self._room -= growth
        return size

    def _add_member(self, path: bytes, meta: Meta, data: bytes, link: bytes = b"") -> None:
        head, end = header(path, meta, link), padding(len(data))
        self._records.append(member_record(path, meta, link, self._offset))
        self._parts += (head, data, end)
        self._offset += len(head) + len(data) + len(end)

    def add_piece(self, piece: Piece) -> None:
        path = b"%b/%b" % (piece.directory, piece.file.name) if piece.directory else piece.file.name
        data = b""
        directory = self._opened(piece.directory, piece.identity)
        if isinstance(directory, OSError):
            self._lose(path, directory, is_leader=piece.is_leader)
        else:
            data = self._read_piece(path, directory, piece)
        end = padding(piece.file.meta.size) if piece.offset + piece.length == piece.file.meta.size else b""
        # A single part is not copied when they are joined, and most pieces are whole.
        self._parts += [part for part in (data, bytes(piece.length - len(data)), end) if part]
        self._records.append(piece_record(path, piece.file.meta, piece.offset, piece.length))

    def _read_piece(self, path: bytes, directory: int, piece: Piece) -> bytes:
        try:
            descriptor = open_file(piece.file.name, directory)
            try:
                status = os.fstat(descriptor)
                if (status.st_dev, status.st_ino) != piece.file.meta.identity or not stat.S_ISREG(status.st_mode):
                    raise Replaced
                data = _read_at(descriptor, piece.offset, piece.length)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._lose(path, error, is_leader=piece.is_leader)
            return b""
        if (status.st_size, status.st_mtime_ns) != (piece.file.meta.size, piece.file.meta.mtime_ns):
            change = _size_change(piece.file.meta.size, status.st_size)
            self._problems.append(Problem(path, ProblemKind.CHANGED, change))
        elif len(data) < piece.length:
            change = _size_change(piece.file.meta.size, piece.offset + len(data))
            self._problems.append(Problem(path, ProblemKind.CHANGED, change))
        return data

    def _lose(self, path: bytes, error: OSError, *, is_leader: bool) -> None:
        kind, reason = explain(error)
        self._problems.append(Problem(path, kind, reason))
        self._lost_leader |= is_leader


def _read_on(descriptor: int, data: bytes, length: int) -> bytes:
    while len(data) < length:
        more = os.read(descriptor, length - len(data))
        if not more:
            break
        data += more
    return data


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    return _read_on(descriptor, b"", length)


def _size_change(planned: int, found: int) -> str:
    if planned == found:
        return "it was written to while it was read"
    verb = "shrank" if found < planned else "grew"
    return f"it {verb} while it was read ({planned} bytes, then {found})"
