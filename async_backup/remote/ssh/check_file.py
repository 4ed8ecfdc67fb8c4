"""SFTP's own request for the digest of a file (draft-ietf-secsh-filexfer-extensions-00, section 3).

OpenSSH does not have it; ProFTPD, which storage boxes run, and Bitvise do, and say so in no greeting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import asyncssh
from asyncssh.constants import FXP_EXTENDED_REPLY
from asyncssh.packet import PacketDecodeError, String, UInt32, UInt64

from async_backup.config import DIGITS
from async_backup.errors import NoDigestCommand, RemoteError
from async_backup.remote.ssh.handle import about
from async_backup.remote.ssh.shortcuts import KNOWN

if TYPE_CHECKING:
    from asyncssh.packet import SSHPacket

    from async_backup.remote.ssh.channel import Channel

_NAME = b"check-file-name"
_TITLE = b"check-file"
"""Stands before the algorithm in the answers of some servers, as the draft has it, and not in those of ProFTPD."""


async def check_file(channel: Channel, path: bytes, algorithm: str, size: int = 0) -> str:
    """The digest of a file, all of it, as the server computes it; raises RemoteError where it gives none.

    With a `size` in bytes the answer may take longer, as after so many bytes on the line.
    """
    handler: Any = channel._sftp._handler
    if asyncssh.__version__ not in KNOWN:
        raise NoDigestCommand(f"{channel.connection.host}: with this version of asyncssh SFTP is asked for no digests")
    handler._return_types = {**handler._return_types, _NAME: FXP_EXTENDED_REPLY}
    everything = UInt64(0) + UInt64(0) + UInt32(0)  # from its beginning to its end, as one block

    async def call() -> SSHPacket:
        packet = await handler._make_request(_NAME, String(path) + String(algorithm) + everything)
        return cast("SSHPacket", packet)

    answer = await channel.request(about("computing the digest of", path), call, size)
    return _digest_in(answer, channel.connection.host, algorithm)


def _digest_in(answer: SSHPacket, host: str, algorithm: str) -> str:
    try:
        used = answer.get_string()
        used = answer.get_string() if used == _TITLE else used
    except PacketDecodeError as error:
        raise RemoteError(f"{host}: the answer with a digest cannot be read: {error}") from error
    value = answer.get_remaining_payload().hex()
    if used != algorithm.encode() or len(value) != DIGITS[algorithm]:
        raise RemoteError(f"{host}: the server was asked for one {algorithm}, and gave something else")
    return value
