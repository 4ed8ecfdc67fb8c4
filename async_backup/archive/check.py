"""Whether a segment holds what the index tells of it: its members one by one, and the pieces of large files."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.header import BLOCK_SIZE
from async_backup.archive.index import PIECE, Member
from async_backup.archive.member import REGULAR
from async_backup.archive.tar import Buffer, DamagedTar, TarReader
from async_backup.archive.unpack import DamagedSegment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.archive.index import Segment
    from async_backup.archive.tar import TarMember

DIFFERENCES_KEPT = 20
_LATEST = 2**63 - 1
"""Nanoseconds: the index has the times beyond as this one."""

_Compared = tuple[bytes, bytes, int, int, int, int, int, bytes, int]
_NAMES = ("path", "type", "mode", "uid", "gid", "size", "modification time", "link", "offset")


class Difference(NamedTuple):
    """A member that is not what the index tells."""

    path: bytes
    reason: str


class Opened(NamedTuple):
    """A large file whose header ends a segment: `size` bytes of payload follow in segments of their own."""

    path: bytes
    size: int


class Checked(NamedTuple):
    """What a whole segment holds, and how many differences there are beyond those that are kept."""

    differences: Sequence[Difference]
    more: int = 0
    piece: Member | None = None
    opened: Opened | None = None


def check_segment(segment: Segment, raw: bytes, *, is_last: bool) -> Checked:
    """Compare the raw bytes of a segment with its records; the last one has to end the archive.

    Raises DamagedSegment where the bytes are no tar stream, or the records none.
    """
    try:
        records = list(segment.listing())
    except ValueError as error:
        raise DamagedSegment(str(error)) from error
    if segment.is_piece and len(records) == 1 and records[0].type == PIECE:
        return _check_piece(records[0], raw, is_last=is_last)
    return _MemberCheck(records, raw).run(told=segment.members, is_last=is_last)


def _check_piece(piece: Member, raw: bytes, *, is_last: bool) -> Checked:
    reason = ""
    if is_last:
        reason = "the archive ends in the middle of its data"
    elif len(raw) < piece.size or any(raw[piece.size :]):
        reason = "its data has another length than the index tells"
    return Checked([Difference(piece.path, reason)] if reason else [], piece=piece)


class _MemberCheck:
    """Compares members with records."""

    def __init__(self, records: Sequence[Member], raw: bytes) -> None:
        self._records = records
        self._raw = raw
        self._reader = TarReader(Buffer(raw))
        self._found: list[Difference] = []
        self._more = 0
        self._opened: Opened | None = None

    def run(self, *, told: int, is_last: bool) -> Checked:
        try:
            number = self._compare_all()
        except DamagedTar as error:
            raise DamagedSegment(f"it is not a tar stream: {error}") from error
        for record in self._records[number:]:
            self._note(record.path, "the index tells of it, and it is not there")
        if told != len(self._records):
            self._note(b"", f"the index tells of {told} members and lists {len(self._records)}")
        self._check_end(is_last=is_last)
        return Checked(self._found, self._more, opened=self._opened)

    def _compare_all(self) -> int:
        """Returns how many members there are."""
        for number in count():
            member = self._reader.next()
            if member is None:
                return number
            if number < len(self._records):
                self._compare(member, self._records[number])
            else:
                self._note(member.path, "it is there, and the index does not tell of it")
            is_open = bool(member.size) and self._reader.offset == len(self._raw)
            self._opened = Opened(member.path, member.size) if is_open else None
        raise AssertionError

    def _compare(self, member: TarMember, record: Member) -> None:
        there, told = _of_member(member), _of_record(record)
        if there != told:
            names = [name for name, left, right in zip(_NAMES, there, told, strict=True) if left != right]
            self._note(record.path, f"the index tells of another {', '.join(names)}")

    def _check_end(self, *, is_last: bool) -> None:
        if is_last and not self._reader.is_complete:
            self._note(b"", "the end of the tar archive is missing")
        elif not is_last and self._reader.is_complete:
            self._note(b"", "the tar archive ends here, before its last segment")
        elif self._reader.offset != len(self._raw):
            self._note(b"", "something follows the end of the tar archive")

    def _note(self, path: bytes, reason: str) -> None:
        if len(self._found) < DIFFERENCES_KEPT:
            self._found.append(Difference(path, reason))
        else:
            self._more += 1


def is_as_told(member: TarMember, record: Member) -> bool:
    """Whether a member is what its record in the index tells."""
    return _of_member(member) == _of_record(record)


def _of_member(member: TarMember) -> _Compared:
    size = member.sparse.real_size if member.sparse else member.size
    mtime_ns = max(-_LATEST, min(member.mtime_ns, _LATEST))
    path, kind, mode, uid, gid = member[:5]
    return path, kind, mode, uid, gid, size, mtime_ns, member.link, member.offset


def _of_record(record: Member) -> _Compared:
    path, kind, mode, uid, gid, size, mtime_ns, _, _, offset, link, _ = record
    return path, kind, mode, uid, gid, size if kind == REGULAR else 0, mtime_ns, link, offset


class Pieces:
    """Follows the segments in their order: the pieces of a large file come after its header, without a gap."""

    def __init__(self) -> None:
        self._file: Opened | None = None
        self._position = 0
        self._is_known = True

    def take(self, segment: Segment, checked: Checked) -> list[Difference]:
        """What is wrong where this segment begins."""
        piece = checked.piece
        if piece is None:
            found = self.end()
            self._file, self._position, self._is_known = checked.opened, 0, True
            return found
        if not self._is_known:
            return []
        if self._file is None or (piece.path, piece.offset) != (self._file.path, self._position):
            self._is_known = False
            return [Difference(piece.path, "its data does not stand where it should")]
        self._position += piece.size
        return self._check_length(segment, piece, self._file.size)

    def _check_length(self, segment: Segment, piece: Member, size: int) -> list[Difference]:
        padding = -piece.size % BLOCK_SIZE if self._position == size else 0
        if segment.raw_length == piece.size + padding:
            return []
        self._is_known = False
        return [Difference(piece.path, "its data has another length than the index tells")]

    def lose(self) -> None:
        """A segment is damaged: of the file that it belongs to nothing can be told."""
        self._is_known = False

    def end(self) -> list[Difference]:
        """What is missing of the file under way."""
        if not self._is_known or self._file is None or self._position == self._file.size:
            return []
        return [Difference(self._file.path, f"{self._position} of its {self._file.size} bytes are there")]
