"""What runs in a packing process. It keeps the plans under way and writes packed segments into shared slots."""

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import dataclass
from itertools import islice
from mmap import mmap
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.index import IndexWriter, Segment
from async_backup.archive.pack import Packed, pack
from async_backup.archive.plan import Planner, PlanRules
from async_backup.archive.unchanged import is_unchanged
from async_backup.child import settle_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.archive.jobs import Job
    from async_backup.archive.member import Problem
    from async_backup.archive.selection import Selection
    from async_backup.child import SharedDescriptor

JOBS_AT_ONCE = 16
"""Segments planned in one call: enough to keep every process busy until the next call."""


@dataclass(frozen=True, slots=True)
class PackingRules:
    """How archives are made; sizes in bytes."""

    segment_size: int
    level: int
    selection: Selection
    algorithm: str
    xattrs: bool = True
    ignores_changes: bool = False
    """Whether a file that changed while it was read does not make an archive incomplete."""


class PackedSlot(NamedTuple):
    """A packed segment, whose bytes stand at the start of its slot."""

    length: int
    raw_length: int
    sha256: bytes
    records: bytes
    members: int
    problems: list[Problem]
    lost_leader: bool


class WholeArchive(NamedTuple):
    """An archive of one segment, with index and footer and hashed, whose bytes stand at the start of its slot."""

    length: int
    raw_length: int
    members: int
    digest: str
    problems: list[Problem]
    lost_leader: bool


class PlanPart(NamedTuple):
    """The next segments of a plan, pickled for whichever process packs them.

    An archive of one segment has no jobs: it is ready already, as `whole`.
    """

    jobs: list[bytes]
    is_complete: bool
    problems: list[Problem]
    whole: WholeArchive | None = None


class PlanLostError(Exception):
    """The process that kept a plan has ended; the one in its place knows nothing of it."""


@dataclass(slots=True)
class _Plan:
    planner: Planner
    jobs: Iterator[Job]


class _Process:
    """The state of this packing process."""

    def __init__(self, slots: mmap, slot_size: int, rules: PackingRules) -> None:
        self._slots = slots
        self._slot_size = slot_size
        self._rules = rules
        self._plans: dict[int, _Plan] = {}

    def begin(self, key: int, source: bytes, entry: bytes, slot: int | None, *, hard_links: bool) -> PlanPart:
        rules = PlanRules(self._rules.segment_size, self._rules.selection, hard_links, self._rules.xattrs)
        planner = Planner(source, entry, rules)
        plan = self._plans[key] = _Plan(planner, planner.jobs())
        jobs = list(islice(plan.jobs, 2))
        if len(jobs) > 1 or slot is None:
            return self._part(plan, jobs)
        del self._plans[key]
        whole = self._whole(source, jobs[0], slot, planner.problems)
        return self._part(plan, [] if whole else jobs, is_complete=True)._replace(whole=whole)

    def go_on(self, key: int) -> PlanPart:
        plan = self._plans.get(key)
        if plan is None:
            raise PlanLostError
        jobs = list(islice(plan.jobs, JOBS_AT_ONCE))
        if len(jobs) < JOBS_AT_ONCE:
            del self._plans[key]
        return self._part(plan, jobs, is_complete=len(jobs) < JOBS_AT_ONCE)

    def forget(self, key: int) -> None:
        self._plans.pop(key, None)

    def _part(self, plan: _Plan, jobs: list[Job], *, is_complete: bool = False) -> PlanPart:
        problems, plan.planner.problems = plan.planner.problems, []
        return PlanPart([pickle.dumps(job, pickle.HIGHEST_PROTOCOL) for job in jobs], is_complete, problems)

    def pack(self, source: bytes, job: Job, slot: int) -> PackedSlot:
        packed = self._packed(source, job)
        if len(packed.data) > self._slot_size:
            raise ValueError(f"a segment of {len(packed.data)} bytes does not fit into {self._slot_size}")
        self._fill(slot, packed.data)
        return PackedSlot(len(packed.data), *packed[1:])

    def _whole(self, source: bytes, job: Job, slot: int, problems: list[Problem]) -> WholeArchive | None:
        """The archive of one segment; None where its index does not fit into the slot beside it."""
        packed = self._packed(source, job)
        index, length = IndexWriter(), len(packed.data)
        full = index.add(Segment(0, length, packed.raw_length, packed.sha256, packed.members, packed.records))
        losses = any(
            problem.is_loss(ignores_changes=self._rules.ignores_changes) for problem in (*problems, *packed.problems)
        )
        data = b"".join(
            (packed.data, full, index.finish(length, is_incomplete=losses, has_no_xattrs=not self._rules.xattrs))
        )
        if len(data) > self._slot_size:
            return None
        self._fill(slot, data)
        digest = hashlib.new(self._rules.algorithm, data, usedforsecurity=False).hexdigest()
        return WholeArchive(len(data), packed.raw_length, packed.members, digest, packed.problems, packed.lost_leader)

    def _packed(self, source: bytes, job: Job) -> Packed:
        rules = self._rules
        return pack(source, job, segment_size=rules.segment_size, level=rules.level, xattrs=rules.xattrs)

    def _fill(self, slot: int, data: bytes) -> None:
        start = slot * self._slot_size
        self._slots[start : start + len(data)] = data


_process: _Process | None = None


def initialize(
    slots: SharedDescriptor, lifeline: SharedDescriptor, scratch: str, slot_size: int, rules: PackingRules
) -> None:
    """Make this process ready; `slots` is the descriptor of the slot file. See `child.settle_in` for the others."""
    global _process  # noqa: PLW0603  (one process, one state: the executor offers no other place)
    settle_in(lifeline, scratch)
    _process = _Process(mmap(slots.descriptor, 0), slot_size, rules)
    os.close(slots.descriptor)


def _state() -> _Process:
    if _process is None:
        raise RuntimeError("the packing process was not initialized")
    return _process


def begin_plan(key: int, source: bytes, entry: bytes, slot: int | None, *, hard_links: bool) -> PlanPart:
    """Start the plan `key` of an entry; what fits into one segment is packed into `slot` at once, if there is one.

    Raises OSError where the source or the entry cannot be read.
    """
    return _state().begin(key, source, entry, slot, hard_links=hard_links)


def continue_plan(key: int) -> PlanPart:
    """The next segments of the plan `key`; raises PlanLostError."""
    return _state().go_on(key)


def forget_plan(key: int) -> None:
    """Drop the plan `key`, if it is still there."""
    _state().forget(key)


def pack_job(source: bytes, job: bytes, slot: int) -> PackedSlot:
    """Pack the pickled `job` into `slot`; raises OSError where the source cannot be opened."""
    return _state().pack(source, pickle.loads(job), slot)


def compare_job(source: bytes, job: bytes, segment: Segment, before_ns: int) -> bool:
    """Whether the pickled `job` would be `segment`, see `is_unchanged`."""
    return is_unchanged(source, pickle.loads(job), segment, before_ns)
