"""A planned segment and the files it names become one gzip member, whatever the files do meanwhile.

The archive stays valid in any case: what cannot be read is left out, what changes while it is read is read again and
then stored as it came, with zeros where a large file has shrunk; each is reported by name.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.content import FREE_XATTRS, read_file, read_piece
from async_backup.archive.descent import Descent, identity_of, open_file
from async_backup.archive.gzip import compress_member
from async_backup.archive.header import END_OF_ARCHIVE, header, padding
from async_backup.archive.index import CHANGED, member_record, pack_records, piece_record
from async_backup.archive.jobs import Batch, Leader, Node, path_in
from async_backup.archive.member import Problem, ProblemKind, Replaced, explain
from async_backup.archive.sparse import sparse_header

if TYPE_CHECKING:
    from async_backup.archive.jobs import Group, Job, Piece
    from async_backup.archive.member import Meta

GROWTH = 4
"""What the plan does not know of small files may add up to a segment's size divided by this: growth since, beyond
which they are cut, and extended attributes, beyond which those are left out."""


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


def pack(source: bytes, job: Job, *, segment_size: int, level: int, xattrs: bool = True) -> Packed:
    """Pack one segment of an entry in the directory `source`; raises OSError where that cannot be opened."""
    with Descent(source) as descent:
        segment = _Segment(descent, segment_size // GROWTH, xattrs=xattrs)
        if isinstance(job, Batch):
            segment.add_batch(job)
        else:
            segment.add_piece(job)
    packed = segment.packed(level)
    return packed if isinstance(job, Batch) else packed._replace(members=0)  # its header stands elsewhere


class _Segment:
    """The raw bytes of one segment while they are gathered."""

    def __init__(self, descent: Descent, room: int, *, xattrs: bool) -> None:
        self._descent = descent
        self._room = room
        self._xattrs = xattrs
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
                self._add_node(path, item)
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

    def _add_node(self, path: bytes, node: Node) -> None:
        if node.sparse is None:
            self._add_member(path, node.meta, header(path, node.meta, node.link, node.extra), b"", link=node.link)
        else:
            head = sparse_header(path, node.meta, node.sparse.stored, node.extra)
            self._add_member(path, node.meta, head, node.sparse.map)

    def _add_small(
        self, path: bytes, directory: int, name: bytes, planned: int, identity: tuple[int, int] | None = None
    ) -> None:
        try:
            descriptor = open_file(name, directory)
            try:
                content = read_file(descriptor, planned, self._room, xattrs=self._xattrs)
            finally:
                os.close(descriptor)
            meta, payload, is_sparse, (records, problem), change = content
            if identity and identity != meta.identity:
                raise Replaced
        except OSError as error:
            self._problems.append(Problem(path, *explain(error)))
            return
        if problem:
            self._problems.append(Problem(path, ProblemKind.XATTRS, problem))
        if change:
            self._problems.append(Problem(path, *change))
        if meta.size > planned or len(records) > FREE_XATTRS:
            self._room -= max(0, meta.size - planned) + max(0, len(records) - FREE_XATTRS)
        head = sparse_header(path, meta, len(payload), records) if is_sparse else header(path, meta, b"", records)
        self._add_member(path, meta, head, payload, flags=CHANGED if change else 0)

    def _add_member(
        self, path: bytes, meta: Meta, head: bytes, payload: bytes, *, link: bytes = b"", flags: int = 0
    ) -> None:
        end = padding(len(payload))
        self._records.append(member_record(path, meta, link, self._offset, flags))
        self._parts += (head, payload, end)
        self._offset += len(head) + len(payload) + len(end)

    def add_piece(self, piece: Piece) -> None:
        path = path_in(piece.directory, piece.file.name)
        data, is_changed = self._read_piece(path, piece)
        self._parts.append(data)  # a single part is not copied when they are joined, and most pieces are whole
        if piece.is_last and (end := padding(piece.offset + piece.length)):
            self._parts.append(end)
        flags = CHANGED if is_changed else 0
        self._records.append(piece_record(path, piece.file.meta, piece.offset, piece.length, flags))

    def _read_piece(self, path: bytes, piece: Piece) -> tuple[bytes, bool]:
        """The piece, or zeros for what is not there, and whether it is not what the plan saw."""
        try:
            directory = self._opened(piece.directory, piece.identity)
            if isinstance(directory, OSError):
                raise directory
            descriptor = open_file(piece.file.name, directory)
            try:
                data, change = read_piece(descriptor, piece.parts, piece.file.meta)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._lose(path, error, is_leader=piece.is_leader)
            return bytes(piece.length), True
        if change:
            self._problems.append(Problem(path, ProblemKind.CHANGED, change))
        return data, bool(change)

    def _lose(self, path: bytes, error: OSError, *, is_leader: bool) -> None:
        kind, reason = explain(error)
        self._problems.append(Problem(path, kind, reason))
        self._lost_leader |= is_leader
