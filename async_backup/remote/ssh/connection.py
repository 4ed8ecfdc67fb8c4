"""One SSH connection, on which channels, shells and commands are opened.

An opening that was cancelled or got no answer ends the connection: the library would leak the server's side of it
otherwise.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import asyncssh
from anyio import move_on_after

from async_backup.errors import ConnectionDropped, NoSession, RemoteError, Unreachable
from async_backup.remote.ssh.channel import Channel
from async_backup.remote.ssh.shell import Shell
from async_backup.remote.ssh.shortcuts import Shortcuts
from async_backup.remote.ssh.silence import expect_silence
from async_backup.remote.ssh.translate import REQUEST_ERRORS, is_request_refused, no_sftp, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 261_120
"""Bytes of one data request: OpenSSH's limit, a little below its message size of 256 KiB."""

_SAFE_CHUNK = 32 << 10
_UNKNOWN_LIMIT = 16 << 10


class Connection:
    """One SSH connection, and the channels opened on it."""

    def __init__(self, connection: asyncssh.SSHClientConnection, host: str, timeout: float) -> None:
        self._connection = connection
        self._shortcuts = Shortcuts(connection)
        self.host = host
        self.timeout = timeout
        self._is_discarded = False

    @property
    def is_usable(self) -> bool:
        return not self._is_discarded and not self._connection.is_closed()

    @property
    def server(self) -> str:
        """What the server calls itself."""
        version = self._connection.get_extra_info("server_version", "")
        return version.decode("ascii", "replace") if isinstance(version, bytes) else str(version)

    @property
    def is_openssh(self) -> bool:
        return "OpenSSH" in self.server

    async def open_channel(self) -> Channel:
        """Start SFTP; raises NoSession where the server takes no further one, Unreachable without SFTP."""
        with self._opening("starting SFTP"):
            try:
                sftp = await self._connection.start_sftp_client(path_encoding=None)
            except asyncssh.ChannelOpenError as error:
                if is_request_refused(error):
                    raise Unreachable(
                        f"{self.host}: the server does not offer SFTP; enable it there (Subsystem sftp in sshd_config)"
                    ) from error
                raise self._session_error(error) from error
            except asyncssh.SFTPError as error:
                if self._connection.is_closed():
                    raise self._lost() from error
                raise no_sftp(error, self.host) from error
        if not self._shortcuts.take(sftp):
            raise self._lost()
        chunk = min(self._chunk(sftp.limits.max_write_len), self._chunk(sftp.limits.max_read_len))
        return Channel(sftp, self, chunk, lists_ahead=self._shortcuts.are_known and self.is_openssh)

    async def open_shell(self) -> Shell:
        """Start a shell that stays; raises NoSession where the server takes no further one."""
        return Shell(await self.start_command(b"exec sh"), self.host)

    async def start_command(self, command: bytes) -> asyncssh.SSHClientProcess[bytes]:
        """Start a command, whose errors nobody reads; raises NoSession where the server takes no further session."""
        with self._opening("starting a command"):
            try:
                return await self._connection.create_process(command, encoding=None, stderr=asyncssh.DEVNULL)
            except asyncssh.ChannelOpenError as error:
                raise self._session_error(error) from error

    def expect_silence(self) -> None:
        """Let the server's program be silent for long, as long as its host is there."""
        expect_silence(self._connection)

    @contextmanager
    def _opening(self, doing: str) -> Iterator[None]:
        """Bound the opening of a channel; whatever cuts it short ends the connection."""
        is_settled = False
        try:
            with move_on_after(self.timeout), translated(self.host, doing):
                yield
                is_settled = True
                return
        except RemoteError:
            is_settled = True
            raise
        finally:
            if not is_settled:
                self.abort()
        raise ConnectionDropped(f"{self.host}: {doing}: no answer for {self.timeout:g} seconds")

    def _session_error(self, error: asyncssh.ChannelOpenError) -> RemoteError:
        if self._connection.is_closed():
            return self._lost()
        return NoSession(f"{self.host}: the server takes no further session on this connection ({error.reason})")

    def _lost(self) -> ConnectionDropped:
        return ConnectionDropped(f"{self.host}: the connection was lost")

    def _chunk(self, limit: int) -> int:
        if limit == _UNKNOWN_LIMIT:
            return CHUNK if "OpenSSH" in self.server else _SAFE_CHUNK
        return min(limit or CHUNK, CHUNK)

    def abort(self) -> None:
        """End the connection at once."""
        self._is_discarded = True
        self._connection.abort()

    async def close(self) -> None:
        """End the connection; whatever was not answered is lost."""
        self._is_discarded = True
        with suppress(*REQUEST_ERRORS):
            self._connection.close()
            await self._connection.wait_closed()
