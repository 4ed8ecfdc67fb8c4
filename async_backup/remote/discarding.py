"""A temporary file that goes when what it was made for fails."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import move_on_after

from async_backup.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.remote.base import RemoteFile, RemoteStore

CLEANUP_GRACE = 2.0
"""Seconds for removing what an attempt left; a server that gives no answer must not hold up the end."""


@asynccontextmanager
async def discarded_on_error(
    store: RemoteStore, temporary: bytes, file: RemoteFile | None, *, leftovers: list[str], grace: float
) -> AsyncIterator[None]:
    """Remove the temporary file if the block fails, also by cancellation, but never wait longer than `grace` seconds.

    Where it could not be removed, its name goes into `leftovers` and into a note of the error.
    """
    try:
        yield
    except BaseException as error:
        if not await _remove(store, temporary, file, grace):
            name = os.fsdecode(temporary)
            leftovers.append(name)
            error.add_note(f"{name} may be left on the server; the next run removes it, if its account may")
        raise


async def _remove(store: RemoteStore, temporary: bytes, file: RemoteFile | None, grace: float) -> bool:
    with move_on_after(grace, shield=True):
        try:
            if file is not None:
                await file.abandon()
            await store.remove(temporary)
        except BackupError:
            return False
        return True
    return False
