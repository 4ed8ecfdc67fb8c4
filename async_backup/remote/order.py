"""What a server lets be done with a file while it is written: in any order, by several at once, or neither."""

from __future__ import annotations

import os
from enum import Enum, auto
from typing import TYPE_CHECKING

from async_backup.errors import RemoteError
from async_backup.remote import steps
from async_backup.remote.handles import close_quietly
from async_backup.remote.reading import read_at_once

if TYPE_CHECKING:
    from async_backup.remote.ssh.channel import Channel

_SIZE = 4096


class Order(Enum):
    """How a file may be written: in any order through any number of handles, through one handle, in order alone."""

    ANY = auto()
    ONE_HANDLE = auto()
    IN_ORDER = auto()


async def order_of(channel: Channel, path: bytes) -> Order:
    """Try it on a small file at `path`, which stays; raises RemoteError where nothing can be written."""
    content = os.urandom(_SIZE)
    try:
        second = await steps.write_apart(channel, path, content)
        if second:
            await close_quietly(second)
        is_there = await read_at_once(channel, path, 0, _SIZE) == content
    except RemoteError as error:
        if type(error) is not RemoteError:
            raise
        return Order.IN_ORDER
    if not is_there:
        return Order.IN_ORDER
    return Order.ANY if second else Order.ONE_HANDLE
