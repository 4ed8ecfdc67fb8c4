"""Patience with a server's program that is silent for long, as long as its host is there."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncssh

_TCP = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 8}
"""A host answers the questions of TCP by itself: seconds until the first, seconds between them, and their number."""


def expect_silence(connection: asyncssh.SSHClientConnection) -> None:
    """Ask the host in the place of the program whether it is there."""
    connection.set_keepalive(0)
    line = connection.get_extra_info("socket")
    for name, value in _TCP.items() if line else ():
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
