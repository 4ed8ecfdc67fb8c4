"""Restoring what has no index: the archive is read ahead in order, and unpacked in a thread."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from anyio import from_thread, to_thread

from async_backup.archive.member import DIRECTORY
from async_backup.errors import DamagedArchive, RestoreError
from async_backup.remote.ahead import read_ahead
from async_backup.text import unescaped
from async_backup.unpack.members import Unpacker
from async_backup.unpack.rules import Issue, IssueKind, Overwrite
from async_backup.unpack.segment import unpacked_by
from async_backup.unpack.stream import DamagedStream, TarGzStream

if TYPE_CHECKING:
    import io

    from async_backup.archive.tar import TarMember
    from async_backup.errors import BackupError
    from async_backup.remote.base import RemoteReader
    from async_backup.restoring.model import Progress
    from async_backup.restoring.wish import Wish
    from async_backup.unpack.late import LateSpool
    from async_backup.unpack.rules import UnpackRules


class StreamedRestore:
    """Restores an archive from its beginning to its end; what has to wait for the end goes into `late`."""

    def __init__(
        self,
        reader: RemoteReader,
        entry: bytes,
        rules: UnpackRules,
        progress: Progress,
        late: LateSpool,
        *,
        salvage: bool,
    ) -> None:
        """Paths in the archive may have the name of its `entry` in front.

        With `salvage` a large file that is cut off is kept, unless it could take the place of another.
        """
        self._entry = entry
        self._keeps_parts = salvage and rules.overwrite is Overwrite.NEVER
        self._reader = reader
        self._rules = rules
        self._progress = progress
        self._late = late
        self._made: set[int] = set()

    def is_lost(self, path: bytes) -> bool:
        """Whether nothing was restored at that safe path."""
        return hash(path) not in self._made

    async def run(self, wish: Wish) -> None:
        """Restore what is wanted.

        Raises DamagedArchive where the stream cannot be read on (what came before is there), RestoreError where
        there is no room or a path is not in the archive, RemoteError.
        """
        async with read_ahead(self._reader, self._progress.advance) as stream:
            error = await to_thread.run_sync(self._unpack, stream, wish)
        if error:  # not sooner: where the server has gone, leaving the block says so
            raise error

    def _unpack(self, raw: io.RawIOBase, wish: Wish) -> BackupError | None:
        """What ended it early, or what was missing."""
        is_wanted = _Filter(wish, self._entry)
        with Unpacker(self._rules, self._made) as unpacker:
            stream = TarGzStream(raw, keeps_parts=self._keeps_parts)
            try:
                for _ in stream.restore(unpacker, is_wanted):
                    from_thread.run_sync(self._note, unpacker)
            except DamagedStream as error:
                from_thread.run_sync(self._note, unpacker)
                from_thread.run_sync(self._progress.note, [_suspect(path) for path in stream.suspects()])
                return DamagedArchive(f"it cannot be read to its end: {error}")
            except OSError as error:
                return RestoreError(f"it cannot be written: {error.strerror or error}")
        if is_wanted.missing:
            names = ", ".join(sorted(os.fsdecode(path) for path in is_wanted.missing))
            return RestoreError(f"not in the archive: {names}")
        if wish.has_patterns and not is_wanted.has_picked:
            return wish.leaves_nothing("the archive")
        return None

    def _note(self, unpacker: Unpacker) -> None:
        unpacked = unpacked_by(unpacker)
        self._progress.add(unpacked)
        self._late.add(unpacked.late)


def _suspect(path: bytes) -> Issue:
    return Issue(
        path, IssueKind.SUSPECT, "restored, but nothing vouches for it: the archive is damaged there or a little later"
    )


def _plain(path: bytes) -> bytes:
    """The path as a person means it: `./a//b/` is `a/b`."""
    return b"/".join(name for name in path.split(b"/") if name not in {b"", b"."})


class _Filter:
    """Says of a member whether it is wanted; `missing` are paths that were not found yet."""

    def __init__(self, wish: Wish, entry: bytes) -> None:
        self._wish = wish
        self._entry = entry
        self.missing = set(map(_plain, wish.paths))
        forms = {form: path for path in self.missing for form in (path, unescaped(path))}
        self._paths = forms | {entry + b"/" + form: path for form, path in forms.items()}
        self.has_picked = False

    def __call__(self, member: TarMember) -> bool:
        path = _plain(member.path)
        is_wanted = self._is_named(path) and self._wish.picks(path, self._entry, is_directory=member.type == DIRECTORY)
        self.has_picked |= is_wanted
        return is_wanted

    def _is_named(self, path: bytes) -> bool:
        is_named = not self._paths
        while path and self._paths:
            if path in self._paths:
                is_named = True
                self.missing.discard(self._paths[path])
            path = path.rpartition(b"/")[0]
        return is_named
