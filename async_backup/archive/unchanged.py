"""Whether the files of a planned segment are what the index of an earlier archive tells of them, without reading them.

A file counts as unchanged while its name, type, mode, owner, size, target, inode and both its times are the same, and
its ctime is well older than the reading. A local file system gives a new ctime with every change of content or
attributes, and no program can set it; README names those that do not.
"""

from __future__ import annotations

import os
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.descent import Descent, identity_of
from async_backup.archive.index import member_record, piece_meta
from async_backup.archive.jobs import Batch, Node, path_in
from async_backup.archive.member import Replaced, meta_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.archive.index import Segment
    from async_backup.archive.jobs import Group, Job
    from async_backup.archive.member import Meta


def is_unchanged(source: bytes, job: Job, segment: Segment, before_ns: int) -> bool:
    """Whether a segment that is planned now would be `segment`, and nothing in it changed at `before_ns` or later.

    `before_ns` is a moment before the archive was made, in nanoseconds since the epoch; of what changed after it
    another change could go unseen, where a file system's clock is coarse. What cannot be looked at has changed.
    """
    try:
        with Descent(source) as descent:
            for told, now in zip_longest(segment.packed_listing(), _members(descent, job)):
                if told is None or now is None or told[2] >= before_ns or told[0] != _record(now, told[1]):
                    return False
    except (OSError, ValueError):
        return False
    return True


class _Now(NamedTuple):
    """What would stand in the index; where a header stands among others is no matter of its file."""

    path: bytes
    meta: Meta
    link: bytes = b""
    offset: int | None = None


def _record(now: _Now, told_offset: int) -> bytes:
    return member_record(now.path, now.meta, now.link, told_offset if now.offset is None else now.offset)


def _members(descent: Descent, job: Job) -> Iterator[_Now]:
    """What the index would tell of the segment now; raises OSError."""
    if isinstance(job, Batch):
        for group in job.groups:
            yield from _group(descent, group)
    else:
        path = path_in(job.directory, job.file.name)
        yield _Now(path, piece_meta(job.file.meta, job.length), offset=job.offset)


def _group(descent: Descent, group: Group) -> Iterator[_Now]:
    directory = descent.enter(group.path)
    if identity_of(directory) != group.identity:
        raise Replaced
    for item in group.items:
        meta, link = (item.meta, item.link) if isinstance(item, Node) else (_meta(item[0], directory), b"")
        yield _Now(path_in(group.path, item[0]), meta, link)


def _meta(name: bytes, directory: int) -> Meta:
    meta = meta_of(os.stat(name, dir_fd=directory, follow_symlinks=False))
    if meta is None:
        raise Replaced
    return meta
