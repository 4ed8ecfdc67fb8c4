"""Files that a listing told of: read whole where they are small, and opened where that will not do."""

from __future__ import annotations

import pytest

from async_backup.errors import ConnectionDropped, RemoteError, RemoteTruncated
from async_backup.remote.memory import MemoryStore
from async_backup.remote.places import SMALL, open_listed

pytestmark = pytest.mark.anyio

CONTENT = b"0123456789"


def store_of(content: bytes, *faults: RemoteError | None) -> MemoryStore:
    store = MemoryStore(faults={"open": faults})
    store.put(b"/backups/a", content)
    return store


@pytest.mark.parametrize(
    ("content", "size"), [(CONTENT, 10), (CONTENT, 0), (bytes(SMALL), SMALL), (bytes(SMALL + 1), SMALL + 1)]
)
async def test_all_of_it_can_be_read(content: bytes, size: int) -> None:
    async with open_listed(store_of(content), b"a", size) as reader:
        assert reader.size == len(content)
        assert await reader.read(0, len(content)) == content
        target = bytearray(4)
        await reader.read_into(5, memoryview(target))
        assert target == content[5:9]
        with pytest.raises(RemoteTruncated):
            await reader.read(1, len(content))


async def test_what_cannot_be_read_whole_is_opened() -> None:
    async with open_listed(store_of(CONTENT, RemoteError("no")), b"a", 10) as reader:
        assert await reader.read(0, 10) == CONTENT


async def test_a_server_that_is_gone_is_not_asked_again() -> None:
    with pytest.raises(ConnectionDropped):
        async with open_listed(store_of(CONTENT, ConnectionDropped("gone")), b"a", 10):
            pass
