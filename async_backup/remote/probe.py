"""A small file by which a store finds out what the server makes of files, before anything of worth is sent."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from anyio import move_on_after

from async_backup.errors import ConnectionDropped, RemoteDenied, RemoteError
from async_backup.remote import steps
from async_backup.remote.discarding import CLEANUP_GRACE
from async_backup.remote.handles import close_quietly
from async_backup.remote.privacy import Privacy, privacy_of
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from async_backup.remote.naming import RunId
    from async_backup.remote.requests import Requests
    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.handle import Handle
    from async_backup.remote.verification import Verification

_SIZE = 4096


class Probe:
    """Written, verified and renamed as archives are, and removed."""

    def __init__(
        self, requests: Requests, verification: Verification, algorithm: str, directory: bytes, run: RunId
    ) -> None:
        self._requests = requests
        self._algorithm = algorithm
        self._verification = verification
        self._directory = directory
        self._run = run
        self._path = self._renamed = b""
        self.is_in_order = False
        """Whether the server takes a file only from its beginning to its end."""
        self.privacy = Privacy.KEPT
        """Whether new files are for their owner alone."""

    def _new_path(self) -> bytes:
        return b"%b/%b" % (self._directory.rstrip(b"/"), self._run.temporary_name(b"probe"))

    async def run(self) -> None:
        """Raises RemoteError where nothing can be backed up there."""
        if not await self._arrives():
            self.is_in_order = True
            if not await self._is_whole():
                host = self._requests.host
                raise RemoteError(f"{host}: a small file does not come back as it was written; see `doctor`")

    async def _arrives(self) -> bool:
        """Whether it does where it is written in any order; raises RemoteError where no order would help."""
        try:
            return await self._is_whole()
        except RemoteError as error:
            if type(error) is not RemoteError:
                raise
            return False

    async def _is_whole(self) -> bool:
        """Whether a new file arrives as it was sent; nothing of it is left, or it is in nobody's way."""
        self._path, self._renamed = self._new_path(), self._new_path()
        content = secrets.token_bytes(_SIZE)
        expected = hashlib.new(self._algorithm, content, usedforsecurity=False).hexdigest()
        is_gone = False
        try:
            async with task_group() as tasks:
                if second := await self._write(content):
                    tasks.start_soon(close_quietly, second)
                tasks.start_soon(self._look_at_privacy)
                is_whole = await self._verification.is_found(self._path, expected)
            is_gone = await self._requests.send(self._rename_away)
            return is_whole
        finally:
            if not is_gone:
                with move_on_after(CLEANUP_GRACE, shield=True), suppress(RemoteError):
                    await self._remove()  # of an account that may only upload it stays, as small as it is

    async def _write(self, content: bytes) -> Handle | None:
        """Write it as archives are written; returns a handle that has to be closed."""
        write = steps.write_at_once if self.is_in_order else steps.write_apart
        return await self._requests.make(self._path, lambda channel, _: write(channel, self._path, content))

    async def _look_at_privacy(self) -> None:
        self.privacy = await self._requests.send(lambda channel: privacy_of(channel, self._path))

    async def _rename_away(self, channel: Channel) -> bool:
        """Rename the file and remove it, with both requests under way at once; whether it is gone for good."""
        is_removed = is_renamed = False

        async def remove() -> None:
            nonlocal is_removed
            with suppress(RemoteError):  # a server that deals with it first finds nothing
                await channel.remove(self._renamed)
                is_removed = True

        async def rename() -> None:
            nonlocal is_renamed
            is_renamed = await self._rename(channel)

        async with task_group() as tasks:
            tasks.start_soon(rename)
            tasks.start_soon(remove)
        if is_renamed and not is_removed:
            await self._check_renamed(channel)
        return is_removed and not self.is_in_order

    async def _check_renamed(self, channel: Channel) -> None:
        """Raise RemoteError where the file that was renamed has no such name."""
        if not await channel.exists(self._renamed):
            raise RemoteError(
                f"{self._requests.host}: the server says that it has renamed a file, and none has the new name, "
                "so that no archive would get its own; see `doctor`"
            )

    async def _rename(self, channel: Channel) -> bool:
        """Whether the server says that it has done so now."""
        try:
            await channel.rename(self._path, self._renamed)
            return True
        except ConnectionDropped:
            raise
        except RemoteError as error:
            if await channel.exists(self._path):
                where = f"{channel.connection.host}: files can be made in {os.fsdecode(self._directory)}"
                advice = "; let the account rename files there" if isinstance(error, RemoteDenied) else ""
                raise RemoteDenied(
                    f"{where}, but not renamed, and an archive gets its name once it is verified{advice} ({error})"
                ) from error
        return False

    async def _remove(self) -> None:
        async with task_group() as tasks:
            for path in (self._path, self._renamed):
                tasks.start_soon(partial(self._requests.remove, path, may_come_back=self.is_in_order))
