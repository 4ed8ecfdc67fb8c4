"""Places in a destination: paths that are relative to it, as users and archives name them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.remote.base import RemoteReader, RemoteStore


def path_in(store: RemoteStore, path: bytes) -> bytes:
    """From a path in the destination (b"" is the destination itself) to one that the store takes."""
    return b"%b/%b" % (store.directory.rstrip(b"/"), path) if path else store.directory


@asynccontextmanager
async def open_reader(store: RemoteStore, path: bytes) -> AsyncIterator[RemoteReader]:
    """A file of the destination, by its path in it; raises RemoteNotFound, RemoteError."""
    reader = await store.open(path_in(store, path))
    try:
        yield reader
    finally:
        await reader.close()
