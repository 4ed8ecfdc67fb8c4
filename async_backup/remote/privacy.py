"""Whether new files are for the eyes of their owner alone, as they are asked to be when they are made."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from async_backup.errors import ConnectionDropped, RemoteError

if TYPE_CHECKING:
    from async_backup.remote.ssh.channel import Channel

_OTHERS = 0o077


class Privacy(Enum):
    """What becomes of the mode that a new file is asked to have: it has it, has it once it is asked again, or never."""

    KEPT = auto()
    ON_REQUEST = auto()
    NONE = auto()


async def privacy_of(channel: Channel, path: bytes) -> Privacy:
    """Find out by a new file of ours; raises ConnectionDropped. A server that tells no modes is believed."""
    try:
        if not await _is_open(channel, path):
            return Privacy.KEPT
        await channel.make_private(path)
        return Privacy.NONE if await _is_open(channel, path) else Privacy.ON_REQUEST
    except ConnectionDropped:
        raise
    except RemoteError:
        return Privacy.NONE


async def _is_open(channel: Channel, path: bytes) -> bool:
    return bool((await channel.mode(path) or 0) & _OTHERS)
