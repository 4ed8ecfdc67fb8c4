"""One archive on its way to several destinations: each takes all of it, and one that fails leaves the others alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope, Event

from async_backup.errors import BackupError
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup

    from async_backup.copying import ArchiveFile

    Work = Callable[[ArchiveFile], Awaitable[None]]


class Branch:
    """A new file at one destination while it is written; `run` keeps it, in a task of its own.

    What goes wrong is told by `error` alone; the file is gone then.
    """

    def __init__(self, new_file: Callable[[], AbstractAsyncContextManager[ArchiveFile]], sent: Callable[[int], None]):
        """`new_file` makes the file and removes it where its block fails; `sent` is told how many bytes arrived."""
        self._new_file = new_file
        self._sent = sent
        self._file: ArchiveFile
        self._tasks: TaskGroup
        self._takes_work = False
        self._end = Event()
        self.begun = Event()
        """Set once the file is there, or could not be made."""
        self.error: BackupError | None = None
        self.copied = 0
        """Bytes that were not sent, since the server had them."""
        self.is_whole = False
        """Whether the file is finished and stays: from then on it is the caller's to remove."""

    async def run(self) -> None:
        """Make the file, and keep it until `close`, `fail` or its first error."""
        try:
            async with self._new_file() as self._file:
                await self._take_work()
                await self._end.wait()  # what was cut short is told why
                if self.error is not None:
                    raise self.error
            self.is_whole = True
        except BackupError as error:
            self.error = error
        finally:
            self.begun.set()

    async def _take_work(self) -> None:
        try:
            async with task_group() as self._tasks:
                self._takes_work = True
                self.begun.set()
                await self._end.wait()
        finally:
            self._takes_work = False

    def start(self, work: Work, size: int) -> Event:
        """Begin `work`, which sends `size` bytes; the event tells that it has ended, well or not."""
        done = Event()
        if self._takes_work:
            self._tasks.start_soon(self._do, work, size, done)
        else:  # cancelled, as the caller is going to be when it waits
            done.set()
        return done

    async def _do(self, work: Work, size: int, done: Event) -> None:
        try:
            await work(self._file)
            if size:
                self._sent(size)
        except BackupError as error:
            self.error = error
            raise
        finally:
            done.set()

    def cut(self) -> None:
        """End what is under way; `fail` has to follow, unless `run` is cancelled as well."""
        self._tasks.cancel_scope.cancel()

    def fail(self, error: BackupError) -> None:
        """Give up, for a reason that lies elsewhere; an error of the branch's own comes first."""
        self.error = self.error or error
        self._end.set()

    def close(self) -> None:
        """All is written and finished: the file stays."""
        self._end.set()


class Fan:
    """An `ArchiveFile` that is several, each of a branch that begins; an error only once none of them is left."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        self._branches = branches

    async def write_segment(self, offset: int, data: memoryview | bytes, sha256: bytes) -> None:
        """As `ArchiveFile.write_segment`, everywhere; nobody reads `data` any more when this returns or raises."""
        await self._everywhere(lambda file: file.write_segment(offset, data, sha256), len(data))

    async def write(self, offset: int, data: memoryview | bytes) -> None:
        """Store `data` at `offset` everywhere; nobody reads `data` any more when this returns or raises."""
        await self._everywhere(lambda file: file.write(offset, data), len(data))

    async def finish(self) -> None:
        """As `RemoteFile.finish`, everywhere."""
        await self._everywhere(lambda file: file.finish(), 0)

    async def write_whole(self, data: memoryview | bytes) -> None:
        """As `RemoteFile.write_whole`, everywhere."""
        await self._everywhere(lambda file: file.write_whole(data), len(data))

    async def _everywhere(self, work: Work, size: int) -> None:
        for branch in self._branches:
            await branch.begun.wait()
        self._check()
        live = [branch for branch in self._branches if branch.error is None]
        under_way = [branch.start(work, size) for branch in live]
        try:
            for done in under_way:
                await done.wait()
        except BaseException:
            for branch in live:
                branch.cut()
            with CancelScope(shield=True):
                for done in under_way:
                    await done.wait()
            raise
        self._check()

    def _check(self) -> None:
        if all(branch.error for branch in self._branches):
            raise next(branch.error for branch in self._branches if branch.error)
