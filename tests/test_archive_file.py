"""A new archive while it is written: what the server copies, what is sent in its place, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio import Event
from anyio.lowlevel import checkpoint

from async_backup.copying import ArchiveFile, Older
from async_backup.errors import ConnectionDropped, RemoteError, RemoteFull, RemoteNotFound
from async_backup.remote.memory import MemoryReader, MemoryStore
from async_backup.tasks import side_by_side

if TYPE_CHECKING:
    from async_backup.remote.base import RemoteReader

pytestmark = pytest.mark.anyio

LENGTH = 32 << 10
KNOWN, UNKNOWN = bytes(32), bytes(31) + b"\1"


class ScriptedFile:
    """A new file that notes what becomes of it, and copies or fails as it is told."""

    def __init__(self, error: RemoteError | None = None) -> None:
        self._error = error
        self.written: list[int] = []
        self.copied: list[tuple[int, int, int]] = []
        self.tried = 0
        self.may_go_on = Event()
        self.may_go_on.set()

    async def write(self, offset: int, data: memoryview | bytes) -> None:
        await checkpoint()
        self.written.append(offset)

    async def copy(self, offset: int, source: RemoteReader, source_offset: int, length: int) -> None:
        self.tried += 1
        await checkpoint()
        await self.may_go_on.wait()
        if self._error:
            raise self._error
        self.copied.append((offset, source_offset, length))

    async def finish(self) -> None:
        await checkpoint()

    async def write_whole(self, data: memoryview | bytes) -> None:
        await checkpoint()

    async def abandon(self) -> None:
        await checkpoint()


class Told:
    """What an archive's file tells of copies."""

    def __init__(self, file: ScriptedFile) -> None:
        self.copied: list[int] = []
        self.refused: list[RemoteError] = []
        store = MemoryStore()
        store.put(b"/older", b"an archive")
        older = Older(MemoryReader(store, b"/older"), {(KNOWN, LENGTH): 7, (KNOWN, LENGTH - 1): 9})
        self.archive = ArchiveFile(file, older, copied=self.copied.append, refused=self.refused.append)


async def test_a_segment_that_the_older_archive_has_is_copied_and_any_other_is_sent() -> None:
    file = ScriptedFile()
    told = Told(file)
    await told.archive.write_segment(100, bytes(LENGTH), KNOWN)
    await told.archive.write_segment(200, bytes(LENGTH), UNKNOWN)
    await told.archive.write_segment(300, bytes(LENGTH + 1), KNOWN)
    assert (file.copied, file.written) == ([(100, 7, LENGTH)], [200, 300])
    assert (told.copied, told.refused) == ([LENGTH], [])


async def test_a_little_segment_is_not_worth_it() -> None:
    file = ScriptedFile()
    await Told(file).archive.write_segment(100, bytes(LENGTH - 1), KNOWN)
    assert (file.tried, file.written) == (0, [100])


async def test_what_is_not_copied_is_sent_and_nothing_more_is_tried_and_it_is_told_once() -> None:
    file = ScriptedFile(RemoteError("no such request"))
    told = Told(file)
    file.may_go_on = Event()

    async def write(offset: int) -> None:
        if offset == 3:
            file.may_go_on.set()
        await told.archive.write_segment(offset, bytes(LENGTH), KNOWN)

    await side_by_side(write, [1, 2, 3], at_once=3)
    await told.archive.write_segment(4, bytes(LENGTH), KNOWN)
    assert (sorted(file.written), file.tried) == ([1, 2, 3, 4], 3)
    assert (told.copied, [str(error) for error in told.refused]) == ([], ["no such request"])


@pytest.mark.parametrize("error", [RemoteNotFound("it is gone"), RemoteFull("no room")])
async def test_an_error_that_says_nothing_of_copies_is_not_told(error: RemoteError) -> None:
    file = ScriptedFile(error)
    told = Told(file)
    await told.archive.write_segment(1, bytes(LENGTH), KNOWN)
    assert (file.written, told.refused, told.copied) == ([1], [], [])


async def test_a_lost_connection_is_an_error_and_nothing_counts_as_copied() -> None:
    file = ScriptedFile(ConnectionDropped("lost"))
    told = Told(file)
    with pytest.raises(ConnectionDropped):
        await told.archive.write_segment(1, bytes(LENGTH), KNOWN)
    assert (file.written, told.copied, told.refused) == ([], [], [])
