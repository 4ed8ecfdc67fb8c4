"""Whether a server takes the parts of a file in any order, and a file that is open several times."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from async_backup.errors import RemoteError
from async_backup.remote import steps
from async_backup.remote.handles import close_quietly
from async_backup.remote.reading import read_at_once

if TYPE_CHECKING:
    from async_backup.remote.ssh.connection import Channel

_SIZE = 4096


async def takes_any_order(channel: Channel, path: bytes) -> bool:
    """Try it on a small file at `path`, which stays; raises RemoteError where nothing can be written."""
    content = os.urandom(_SIZE)
    try:
        if second := await steps.write_apart(channel, path, content):
            await close_quietly(second)
        return await read_at_once(channel, path, 0, _SIZE) == content
    except RemoteError as error:
        if type(error) is not RemoteError:
            raise
        return False
