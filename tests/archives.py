"""Whole archives made by the pure functions alone, as `body.py` combines them: no process, no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from async_backup.archive.index import FOOTER_SIZE, IndexWriter, Segment, read_footer, read_index
from async_backup.archive.pack import pack
from async_backup.archive.plan import Planner, PlanRules
from async_backup.archive.selection import Selection
from tests.trees import SEGMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from async_backup.archive.index import Member
    from async_backup.archive.jobs import Job
    from async_backup.archive.member import Problem
    from async_backup.archive.pack import Packed


@dataclass(frozen=True)
class Archive:
    """A finished archive, what was said of its source, and its segments as they were put into the index."""

    path: Path
    problems: list[Problem]
    segments: list[Segment]
    lost_leader: bool

    def data(self) -> bytes:
        return self.path.read_bytes()

    def members(self) -> Iterator[tuple[Segment, Member]]:
        """The records of the index as it is read back from the file."""
        for segment in segments_of(self.data()):
            for member in segment.listing():
                yield segment, member


def _nothing() -> None:
    pass


def plan(
    source: Path,
    entry: bytes,
    *,
    segment_size: int = SEGMENT,
    selection: Selection | None = None,
    hard_links: bool = True,
    xattrs: bool = True,
) -> tuple[list[Job], list[Problem]]:
    """All segments of an entry, and what there is to say."""
    rules = PlanRules(segment_size, selection or Selection(), hard_links, xattrs)
    planner = Planner(bytes(source), entry, rules)
    return list(planner.jobs()), planner.problems


def make_archive(
    source: Path,
    entry: bytes,
    target: Path,
    *,
    segment_size: int = SEGMENT,
    level: int = 1,
    selection: Selection | None = None,
    hard_links: bool = True,
    xattrs: bool = True,
    meanwhile: Callable[[], None] = _nothing,
) -> Archive:
    """The archive of the entry `entry` in `source`, in the file `target`; `meanwhile` runs between plan and packing."""
    rules = {"hard_links": hard_links, "xattrs": xattrs}
    jobs, problems = plan(source, entry, segment_size=segment_size, selection=selection, **rules)
    meanwhile()
    packed = [pack(bytes(source), job, segment_size=segment_size, level=level, xattrs=xattrs) for job in jobs]
    segments = _write(target, packed)
    problems += [problem for part in packed for problem in part.problems]
    return Archive(target, problems, segments, any(part.lost_leader for part in packed))


def _write(target: Path, packed: list[Packed]) -> list[Segment]:
    index, pieces, segments, offset = IndexWriter(), [], [], 0
    with target.open("wb") as file:
        for part in packed:
            segment = Segment(offset, len(part.data), part.raw_length, part.sha256, part.members, part.records)
            segments.append(segment)
            pieces.append(index.add(segment))
            file.write(part.data)
            offset += len(part.data)
        file.write(b"".join([*pieces, index.finish(offset)]))
    return segments


def segments_of(archive: bytes) -> list[Segment]:
    """The segments as the index at the end of an archive lists them; raises ValueError where it is damaged."""
    footer = read_footer(archive[-FOOTER_SIZE:])
    return list(read_index(footer, archive[footer.index_offset :][: footer.index_length]))
