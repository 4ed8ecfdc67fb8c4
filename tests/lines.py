"""A client's SFTP channel, with its short ways, to a server of asyncssh's own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from asyncssh.encryption import get_encryption_algs
from asyncssh.mac import get_mac_algs

from async_backup.errors import ConnectionDropped
from async_backup.remote.ssh.shortcuts import Shortcuts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

KEY = asyncssh.generate_private_key("ssh-ed25519")
WRITE = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT


@dataclass
class Line:
    """The channel, and the kinds of the packets that the library itself has sent, and dealt with for that channel."""

    connection: asyncssh.SSHClientConnection
    sftp: asyncssh.SFTPClient
    is_fast: bool
    sent: list[int]
    received: list[int]

    async def open(self, name: bytes, flags: int = WRITE) -> asyncssh.SFTPClientFile:
        return await self.sftp.open(name, flags, asyncssh.SFTPAttrs(), encoding=None, block_size=0)


@asynccontextmanager
async def line(root: Path, *, server: dict[str, Any] | None = None, **client: Any) -> AsyncIterator[Line]:
    acceptor = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[KEY],
        authorized_client_keys=asyncssh.import_authorized_keys(KEY.export_public_key().decode()),
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=bytes(root)),
        encryption_algs=[name.decode() for name in get_encryption_algs()],
        mac_algs=[name.decode() for name in get_mac_algs()],
        **server or {},
    )
    host = asyncssh.import_known_hosts(f"* {KEY.export_public_key().decode()}")
    options = {"client_keys": [KEY], "known_hosts": host, "config": None, "username": "somebody"} | client
    try:
        async with asyncssh.connect("127.0.0.1", acceptor.get_port(), **options) as connection:
            sent: list[int] = []
            send = connection.send_packet

            def noted(kind: int, *fields: bytes, **more: Any) -> None:
                sent.append(kind)
                send(kind, *fields, **more)

            connection.send_packet = noted  # type: ignore[assignment]
            sftp = await connection.start_sftp_client(path_encoding=None)
            Shortcuts(connection).take(sftp)
            sent.clear()
            received: list[int] = []
            channel: Any = sftp._handler._writer.channel  # type: ignore[union-attr]
            channel.log_received_packet = lambda kind, *_: received.append(kind)
            yield Line(connection, sftp, "write" in vars(sftp._handler), sent, received)
    finally:
        acceptor.close()
        await acceptor.wait_closed()


async def expect_drop(request: Awaitable[object]) -> None:
    with pytest.raises(ConnectionDropped):
        await request
