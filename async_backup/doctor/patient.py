"""The server under examination: connected on demand, and left as it was found."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from anyio import CancelScope, move_on_after

from async_backup.doctor.litter import Litter
from async_backup.doctor.model import Learnt
from async_backup.errors import AuthenticationError, BackupError, ConnectionDropped, RemoteError
from async_backup.remote import steps
from async_backup.remote.handles import close_quietly
from async_backup.remote.naming import RunId
from async_backup.remote.ssh.commands import Commands
from async_backup.remote.ssh.dial import Dialer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.doctor.model import DoctorSettings
    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.connection import Connection
    from async_backup.remote.ssh.shell import Shell

PROBE_SIZE = 4096
CLEANUP_GRACE = 2.0
"""Seconds for removing what was made; a server that gives no answer must not hold up the end."""

_CLOSING_GRACE = 0.5


class Patient:
    """What the steps share. Use `prepare`, and `close` at the end, whatever happened."""

    def __init__(self, settings: DoctorSettings, dialer: Dialer, key_error: AuthenticationError | None) -> None:
        self.settings = settings
        self.dialer = dialer
        self.key_error = key_error
        """Why our own keys cannot be used; the steps before authentication go on without."""
        self.learnt = Learnt()
        self.litter = Litter()
        self.login_error: BackupError | None = None
        self.shell: Shell | None = None
        self.extensions = frozenset[str]()
        """Those of SFTP that the server has, as far as is known."""
        self.made_directories: list[bytes] = []
        """The destination and its parents, as far as they were not there before."""
        self.is_removing_allowed = True
        self._connection: Connection | None = None
        self._channel: Channel | None = None
        self._place: bytes | None = None
        self._probe: bytes | None = None
        self._content = secrets.token_bytes(PROBE_SIZE)
        self._run = RunId.of_this_process()

    @classmethod
    async def prepare(cls, settings: DoctorSettings) -> Patient:
        """Read ssh's settings; raises SettingsError, HostKeyError where known hosts cannot be read."""
        try:
            return cls(settings, await Dialer.prepare(settings.destination, settings.ssh), None)
        except AuthenticationError as error:
            without_keys = replace(settings.ssh, keys=())
            return cls(settings, await Dialer.prepare(settings.destination, without_keys), error)

    def learn(self, **values: object) -> None:
        """Keep what was measured, by the names of `Learnt`."""
        self.learnt = replace(self.learnt, **values)  # type: ignore[arg-type]

    @property
    def host(self) -> str:
        return self.dialer.host

    async def connection(self) -> Connection:
        """The connection, made again where it was lost; raises BackupError."""
        if self._connection is None or not self._connection.is_usable:
            self._connection = await self.dialer.dial()
        return self._connection

    async def channel(self) -> Channel:
        """The SFTP channel, opened again where it was lost; raises BackupError."""
        if self._channel is None or not self._channel.is_usable:
            self._channel = await (await self.connection()).open_channel()
        return self._channel

    async def commands(self) -> Commands:
        """What runs commands without a shell; raises BackupError."""
        return Commands(await self.connection())

    @asynccontextmanager
    async def hashing(self, size: int) -> AsyncIterator[Channel]:
        """The channel: all that is hashed here is small."""
        del size
        yield await self.channel()

    def give_up_connection(self) -> None:
        """It gave no answer, or a request on it was cancelled: the next step gets a new one."""
        if self._connection is not None:
            self._connection.abort()

    async def hang_up(self) -> None:
        """End the connection in order, so that it does not count any more; the next step that needs one makes it."""
        if self._connection is not None:
            await self._connection.close()

    @property
    def content_digest(self) -> str:
        """The digest of what `probe` writes."""
        return hashlib.new(self.settings.hash, self._content, usedforsecurity=False).hexdigest()

    async def place(self) -> bytes:
        """The real path of the destination, made for the examination if it is missing; raises RemoteError."""
        if self._place is None:
            channel, directory = await self.channel(), self.settings.destination.directory
            for path in await self._missing(channel, directory):
                self.litter.note_directory(path)
                self.made_directories.append(path)
            try:
                await steps.make_directory(channel, directory)
            except RemoteError:
                await self._forget_missing(channel)
                raise
            self._place = await channel.real_path(directory)
        return self._place

    async def _missing(self, channel: Channel, directory: bytes) -> list[bytes]:
        """The directory and its parents that are not there, from the outside in."""
        missing: list[bytes] = []
        while directory and not await channel.exists(directory):
            missing.insert(0, directory)
            directory = directory.rpartition(b"/")[0]
        return missing

    async def _forget_missing(self, channel: Channel) -> None:
        for path in self.made_directories if channel.is_usable else ():
            if not await channel.exists(path):
                self.litter.forget(path)

    async def new_name(self) -> bytes:
        """A name in the destination that nobody else has."""
        return b"%b/%b" % ((await self.place()).rstrip(b"/"), self._run.temporary_name(b"doctor"))

    async def write_file(self, content: bytes) -> bytes:
        """Make a small file, flushed to the disk; returns its path. Raises RemoteError."""
        path, channel = await self.new_name(), await self.channel()
        self.litter.note_file(path)
        try:
            handle = await steps.create(channel, path, was_tried=False)
        except ConnectionDropped:
            raise
        except RemoteError:
            self.litter.forget(path)
            raise
        try:
            await handle.write(0, content)
            await handle.sync()
        finally:
            await close_quietly(handle)
        return path

    async def probe(self) -> bytes:
        """A file of known content in the destination, written when it is first asked for; raises RemoteError."""
        if self._probe is None:
            self._probe = await self.write_file(self._content)
        return self._probe

    async def close(self) -> None:
        """Remove what was made and hang up. Raises nothing and does not wait long; `litter` names what has stayed."""
        with CancelScope(shield=True):
            with move_on_after(CLEANUP_GRACE):
                await self._clear()
            if self._connection is not None:
                with move_on_after(_CLOSING_GRACE):
                    await self._connection.close()
                self._connection.abort()

    async def _clear(self) -> None:
        for _ in range(2):
            try:
                return await self.litter.clear(self.channel)
            except BackupError:
                self.give_up_connection()
        return None
