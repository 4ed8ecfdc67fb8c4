"""Everything that an examination has made on the server, so that nothing of it stays."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from async_backup.errors import SERVER_GONE, RemoteError, RemoteNotFound
from async_backup.remote import steps
from async_backup.remote.ssh import examine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backup.remote.ssh.channel import Channel


class Litter:
    """Names that we have made or may have made. Note a name before the request that makes it."""

    def __init__(self) -> None:
        self._files: list[bytes] = []
        self._directories: list[bytes] = []

    def note_file(self, path: bytes) -> None:
        self._files.append(path)

    def note_directory(self, path: bytes) -> None:
        self._directories.append(path)

    def forget(self, path: bytes) -> None:
        """It is gone, or it was never ours."""
        for names in (self._files, self._directories):
            if path in names:
                names.remove(path)

    @property
    def names(self) -> tuple[bytes, ...]:
        return (*self._files, *self._directories)

    async def remove_file(self, channel: Channel, path: bytes) -> None:
        """Raises RemoteError where it cannot be removed."""
        await steps.remove(channel, path)
        self.forget(path)

    async def remove_directory(self, channel: Channel, path: bytes) -> None:
        """Remove it if it is empty; raises RemoteError where it cannot be removed."""
        with suppress(RemoteNotFound):
            await examine.remove_directory(channel, path)
        self.forget(path)

    async def clear(self, channel: Callable[[], Awaitable[Channel]]) -> None:
        """Remove all, the newest first; what cannot be removed stays noted. Raises where the server is gone."""
        for names, remove in ((self._files, self.remove_file), (self._directories, self.remove_directory)):
            for path in reversed(tuple(names)):
                try:
                    await remove(await channel(), path)
                except SERVER_GONE:
                    raise
                except RemoteError:
                    continue
