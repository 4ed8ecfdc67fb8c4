"""Paths in an archive as a person names them: told apart, found and not found by its index."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING

from async_backup.archive.index import PIECE
from async_backup.errors import NotInArchive
from async_backup.text import unescaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from async_backup.archive.index import Member, Segment

_NEAREST = 3
_NAMES_COMPARED = 50_000


def members_of(segments: Iterable[Segment]) -> Iterator[Member]:
    """All records in order, pieces of large files among them; raises ValueError where the index is damaged."""
    for segment in segments:
        yield from segment.listing()


def full_path(path: bytes, segments: Sequence[Segment]) -> bytes:
    """The path with the name of the entry in front, where a person has left that out; raises ValueError.

    A name that is shown with escapes may be typed with them.
    """
    top = next((member.path.partition(b"/")[0] for member in members_of(segments)), b"")
    itself, other = _below(top, path), _below(top, unescaped(path))
    if itself == other or any(member.path == itself for member in members_of(segments)):
        return itself
    return other


def _below(top: bytes, path: bytes) -> bytes:
    path = b"/".join(name for name in path.split(b"/") if name not in {b"", b"."})
    if not path or not top or is_at_or_below(path, top):
        return path or top
    return b"%b/%b" % (top, path)


def inside_entry(path: bytes) -> bytes:
    """The path without the name of the entry; that name, of the entry itself."""
    return path.partition(b"/")[2] or path


def is_at_or_below(path: bytes, directory: bytes) -> bool:
    """Whether `path` is `directory` or something in it, at any depth."""
    return path == directory or path.startswith(directory + b"/")


def not_in_archive(path: bytes, name: str, segments: Iterable[Segment]) -> NotInArchive:
    """The error for a path that the archive called `name` does not hold, with the nearest names; raises ValueError."""
    directory, _, last = path.rpartition(b"/")
    names: dict[str, bytes] = {}
    for member in members_of(segments):
        if member.type != PIECE and (len(names) < _NAMES_COMPARED or member.path.startswith(directory + b"/")):
            names.setdefault(os.fsdecode(member.path.rpartition(b"/")[2]), member.path)
    near = [os.fsdecode(names[other]) for other in get_close_matches(os.fsdecode(last), names, n=_NEAREST)]
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `async-backup ls` shows what is in it"
    return NotInArchive(f"{os.fsdecode(path)} is not in {name}{hint}")
