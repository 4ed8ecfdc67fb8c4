"""One archive's life at one destination: written, verified, committed or discarded."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING

from anyio import CancelScope, current_time

from async_backup.archive.member import Problem, ProblemKind
from async_backup.archived import Turns
from async_backup.branch import Branch
from async_backup.checksum_files import write_checksum_file
from async_backup.copying import ArchiveFile, open_older
from async_backup.errors import (
    SERVER_GONE,
    BackupError,
    ConnectionDropped,
    CopyMismatch,
    DigestMismatch,
    LinkFailed,
    RemoteError,
    RemoteExists,
    RemoteNotFound,
    unsupported,
)
from async_backup.events import FileProblem, ReuseRefused, SegmentSent
from async_backup.model import Committed
from async_backup.remote.discarding import CLEANUP_GRACE, discarded_on_error
from async_backup.remote.places import path_in
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from async_backup.body import Body
    from async_backup.catalog import StoredArchive
    from async_backup.events import Listener
    from async_backup.model import Entry, Problems
    from async_backup.remote.base import RemoteFile, RemoteStore
    from async_backup.remote.naming import RunId


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A whole archive on the server under its temporary name, flushed and not yet verified."""

    entry: Entry
    temporary: bytes
    body: Body
    attempt: int
    copied: int = 0


class Transfer:
    """Makes and commits archives at one destination."""

    def __init__(
        self,
        store: RemoteStore,
        listener: Listener,
        *,
        destination: str,
        base: bytes,
        run: RunId,
        algorithm: str,
        checksum_file: bool,
        taken: frozenset[bytes] = frozenset(),
        previous: Mapping[bytes, StoredArchive] = MappingProxyType({}),
        copies: bool = False,
    ) -> None:
        """`destination` is its name in events; `taken` are paths of archives, below it, that stand there already.

        `previous` are archives of earlier runs by entry, with its directory, to which links may be made; with `copies`
        the server copies from them what new archives have in common with them.
        """
        self.store = store
        self._previous = previous
        self._copies = copies
        self._turns = Turns()
        self._has_linked = False
        self._refused: set[str] = set()
        self._unsupported: set[str] = set()
        self._listener = listener
        self._base = base
        self._run = run
        self._algorithm = algorithm
        self._checksum_file = checksum_file
        self._commits: set[CancelScope] = set()
        self._commit_deadline = inf
        self.destination = destination
        self.taken = taken
        self.leftovers: list[str] = []

    def new_file(self, entry: Entry, attempt: int) -> tuple[bytes, Branch]:
        """A new temporary name, and what writes the archive of an entry to it; copied from another at first only."""
        temporary = self._in_directory(entry, self._run.temporary_name(entry.archive))
        may_copy = self._copies and attempt == 1 and "copies" not in self._unsupported
        older = self._older(entry) if may_copy else None

        def copied(size: int) -> None:
            branch.copied += size

        branch = Branch(
            lambda: self._created(temporary, older, copied),
            lambda size: self._listener(SegmentSent(entry, size, self.destination)),
        )
        return temporary, branch

    @asynccontextmanager
    async def _created(
        self, temporary: bytes, older: StoredArchive | None, copied: Callable[[int], None]
    ) -> AsyncIterator[ArchiveFile]:
        file = await self.store.create(temporary)
        async with self.discarded_on_error(temporary, file), open_older(self.store, older, self._turns) as found:
            yield ArchiveFile(file, found, copied=copied, refused=partial(self.refuse, "copies"))

    def refuse(self, what: str, error: RemoteError) -> None:
        """Tell once why the server makes no "links", or no "copies"; where it cannot, it is asked for none any more."""
        if error.is_unsupported:
            self._unsupported.add(what)
        if what not in self._refused:
            self._refused.add(what)
            self._listener(ReuseRefused(self.destination, what, str(error)))

    def linkable(self, entry: Entry) -> StoredArchive | None:
        """The older archive of the entry, if it may be linked to."""
        return None if "links" in self._unsupported else self._older(entry)

    def _older(self, entry: Entry) -> StoredArchive | None:
        return self._previous.get(entry.remote_name)

    async def link(self, entry: Entry, previous: StoredArchive, body: Body) -> Uploaded:
        """Give an archive a temporary name, to be committed as a new one."""
        temporary = self._in_directory(entry, self._run.temporary_name(entry.archive))
        async with self.discarded_on_error(temporary):
            await self.store.link(path_in(self.store, previous.path), temporary)
            if not self._has_linked:
                await self._see(temporary, previous.size)
                self._has_linked = True
        return Uploaded(entry, temporary, body, attempt=1)

    async def _see(self, link: bytes, size: int) -> None:
        """See that a link is there: `rclone serve sftp` says that it made one, and makes none."""
        try:
            await self.store.read_ending(link, size, 1)
        except RemoteNotFound as error:
            raise unsupported("the server says that it has made a link, and has made none") from error

    async def commit(self, uploaded: Uploaded) -> Committed:
        """Give the archive its final name once the server's digest of it equals ours.

        Raises DigestMismatch or LinkFailed, or what else the server had to say; the temporary file is gone then.
        """
        entry, body = uploaded.entry, uploaded.body
        final = self._in_directory(entry, entry.archive)
        with _as_link(body):
            async with self.discarded_on_error(uploaded.temporary):
                stored = await self.store.digest(uploaded.temporary, body.size)
                if stored.value != body.digest:
                    raise self._mismatch(uploaded, stored.value)
                await self._rename(uploaded.temporary, final)
        problems = await self._finish_commit(entry, body)
        sizes = body.size, body.raw_size, body.members
        return Committed(
            entry,
            *sizes,
            body.digest,
            stored,
            problems,
            attempts=uploaded.attempt,
            destination=self.destination,
            copied=uploaded.copied,
            same_as=body.same_as,
        )

    def _mismatch(self, uploaded: Uploaded, stored: str) -> DigestMismatch | LinkFailed:
        body, name = uploaded.body, os.fsdecode(uploaded.entry.archive)
        if body.same_as:
            same = os.fsdecode(body.same_as)
            return LinkFailed(
                f"{same} on the server is damaged: its digest was {body.digest} and is {stored} now; it stays"
            )
        older = self._older(uploaded.entry)
        if uploaded.copied and older:
            return CopyMismatch(name, sent=body.digest, stored=stored, older=os.fsdecode(older.path))
        return DigestMismatch(name, sent=body.digest, stored=stored)

    async def _rename(self, temporary: bytes, final: bytes) -> None:
        with self._kept_from_cancellation():
            await self.store.rename(temporary, final)
            return
        raise ConnectionDropped(f"renaming to {os.fsdecode(final)}: no answer until the run had to end")

    async def _finish_commit(self, entry: Entry, body: Body) -> Problems:
        """What follows the rename; nothing here can undo the commit any more."""
        reason: str | None = "the run had to end"
        with self._kept_from_cancellation():
            async with task_group() as tasks:  # the checksum's own name is flushed by who comes next, or at the end
                tasks.start_soon(self.store.sync_directory, self._directory(entry))
                reason = await self._write_checksum_file(entry, body.digest) if self._checksum_file else None
        if reason is None:
            return body.problems
        problem = Problem(entry.name, ProblemKind.CHECKSUM_FILE, f"the checksum file was not written: {reason}")
        is_loss = problem.kind.is_loss
        self._listener(FileProblem(entry, problem, is_loss))
        return body.problems.plus(problem, is_loss=is_loss)

    async def _write_checksum_file(self, entry: Entry, digest: str) -> str | None:
        """Why there is none; None once it is there."""
        try:
            await self._store_checksum(entry, digest)
        except BackupError as error:
            return str(error)
        return None

    async def _store_checksum(self, entry: Entry, digest: str) -> None:
        await write_checksum_file(
            self.store,
            self._in_directory(entry, entry.archive),
            algorithm=self._algorithm,
            digest=digest,
            run=self._run,
            discarded=self.discarded_on_error,
        )

    def discarded_on_error(self, temporary: bytes, file: RemoteFile | None = None) -> AbstractAsyncContextManager[None]:
        """Remove the temporary file if the block fails, also by cancellation, but never wait for ever."""
        return discarded_on_error(self.store, temporary, file, leftovers=self.leftovers, grace=CLEANUP_GRACE)

    @contextmanager
    def _kept_from_cancellation(self) -> Iterator[None]:
        """A rename under way must be waited for: cancelled, nobody would know which name the archive has.

        After `hurry` the block may end early, without an error.
        """
        with CancelScope(shield=True, deadline=self._commit_deadline) as scope:
            self._commits.add(scope)
            try:
                yield
            finally:
                self._commits.discard(scope)

    def hurry(self) -> None:
        """End commits that the server does not answer soon, those under way and those to come."""
        self._commit_deadline = current_time() + CLEANUP_GRACE
        for scope in self._commits:
            scope.deadline = self._commit_deadline

    def _directory(self, entry: Entry) -> bytes:
        return b"%b/%b" % (self._base, entry.directory) if entry.directory else self._base or b"/"

    def _in_directory(self, entry: Entry, name: bytes) -> bytes:
        return b"%b/%b" % (self._directory(entry).rstrip(b"/"), name)


@contextmanager
def _as_link(body: Body) -> Iterator[None]:
    """What goes wrong with a further name of an older archive says nothing of one that is sent."""
    try:
        yield
    except (LinkFailed, RemoteExists, *SERVER_GONE):
        raise
    except RemoteError as error:
        if not body.same_as:
            raise
        raise LinkFailed(f"{os.fsdecode(body.same_as)} cannot be linked to: {error}") from error
