"""Short ways through asyncssh for what SFTP carries, where its inside is known."""

from __future__ import annotations

from typing import Any

import asyncssh

from async_backup.remote.ssh.answers import Answers
from async_backup.remote.ssh.fast_reads import FastReads
from async_backup.remote.ssh.fast_writes import FastWrites
from async_backup.remote.ssh.gathered import Gathered
from async_backup.remote.ssh.quiet import hush

KNOWN = {"2.24.1"}
"""Versions of asyncssh whose inside is known: read, and tested with every cipher."""


class Shortcuts:
    """What stands in one connection in the place of parts of the library, and in its SFTP channels.

    They reach into the library: only where its version is one whose inside is known, and what it does beyond moving
    data (a new exchange of keys, compression, the end of a channel) stays its own.
    """

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self.are_known = asyncssh.__version__ in KNOWN
        self._reads = FastReads(connection) if self.are_known else None
        if self.are_known:
            Gathered(connection)

    def take(self, sftp: asyncssh.SFTPClient) -> bool:
        """Let a channel that was just opened use them; see `FastWrites` for the ciphers with which it does not.

        False where it has been closed already.
        """
        if self._reads is None:
            return True
        handler: Any = sftp._handler
        channel = handler._writer.channel if handler._writer else None
        if channel is None or channel._session is None:
            return False
        hush(handler)
        self._reads.add(channel)
        Answers(handler, channel._session)
        if "cbc" not in channel.get_extra_info("send_cipher"):
            FastWrites(handler, channel)
        return True
