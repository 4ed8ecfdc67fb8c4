"""One connection of a pool, with its channels and its shell."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from anyio import Lock

from async_backup.errors import ConnectionDropped, NoSession, RemoteError
from async_backup.remote.ssh.commands import Commands

if TYPE_CHECKING:
    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.connection import Connection
    from async_backup.remote.ssh.shell import Shell


class Link:
    """One connection, its channels and its shell."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.channels: list[Channel] = []
        self.shell: Shell | None = None
        self.commands = Commands(connection, self._give_up_channel)
        self.bytes_hashed = 0
        """What the server has to hash before it answers."""
        self._opening = 0
        self.most_channels: int | None = None
        """What the server allows, once it has refused one."""
        self._opening_shell = Lock()

    def usable_channels(self) -> list[Channel]:
        return [channel for channel in self.channels if channel.is_usable]

    def _give_up_channel(self) -> bool:
        """Leave its session to a command; False where it is the last one, unless another one is about to come."""
        self.channels = self.usable_channels()
        if len(self.channels) < 2:
            return self._opening > 0
        idlest = min(self.channels, key=lambda channel: (channel.load, channel.watch.requests))
        self.channels.remove(idlest)
        self.most_channels = len(self.channels)
        idlest.discard()
        return True

    def usable_shell(self) -> Shell | None:
        return self.shell if self.shell and self.shell.is_usable else None

    @property
    def is_opening_shell(self) -> bool:
        return self._opening_shell.locked()

    async def open_shell(self) -> Shell | None:
        """The shell, opened if need be; None where the server takes no session for one."""
        async with self._opening_shell:
            if self.usable_shell() is None and self.connection.is_usable:
                with suppress(NoSession, ConnectionDropped):
                    self.shell = await self.connection.open_shell()
            return self.usable_shell()

    async def open_channel(self) -> None:
        """One more channel, if the server takes it; raises RemoteError where the link would be left with none."""
        self.channels = self.usable_channels()
        self._opening += 1
        try:
            opened = await self.connection.open_channel()
        except RemoteError:
            self.channels = self.usable_channels()
            if not self.channels:
                raise
            self.most_channels = len(self.channels)
        else:
            self.channels.append(opened)
        finally:
            self._opening -= 1
