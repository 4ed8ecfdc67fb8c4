"""SFTP's data on their way out, copied 4 times instead of 15.

asyncssh hands a request down through layers that each put their header before it: 15 copies of every byte, 2 packets
and 2 system calls for each 32 KiB. Here the parts of a request wait as they are, and each packet is joined once and
encrypted. Measured on a processor with AES: 0.71 CPU seconds for each GB sent, with `gcm`, beside 2.05 without.

What the server gets is the same but for the empty MSG_IGNORE packets that asyncssh puts before each of its own. They
are a remedy for ciphers in CBC mode (RFC 4251, section 9.3.1), with which this is not used.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from asyncssh.constants import MSG_CHANNEL_DATA
from asyncssh.packet import Byte, String, UInt32, UInt64

from async_backup.remote.ssh.gcm import gcm_of
from async_backup.remote.ssh.padding import Padding

if TYPE_CHECKING:
    from collections.abc import Sequence

    Part = bytes | bytearray | memoryview

_FXP_WRITE = 6
_LEAST_PADDING = 4


class FastWrites:
    """Stands in one SFTP channel in the place of what queues requests and of what cuts them into packets."""

    def __init__(self, handler: Any, channel: Any) -> None:
        self._handler = handler
        self._channel = channel
        self._connection = channel._conn
        self._padding = Padding()
        self._send_request = handler.send_packet
        handler.write = self._write
        self._flush_nothing = channel._flush_send_buf
        self._head = Byte(MSG_CHANNEL_DATA) + UInt32(channel._send_chan)
        handler.send_packet = self._send
        channel._flush_send_buf = self._flush

    async def _write(self, handle: bytes, offset: int, data: bytes) -> object:
        """In the place of `SFTPClientHandler.write`: the data are not joined to their length."""
        head = String(handle) + UInt64(offset) + UInt32(len(data))
        return await self._handler._make_request(_FXP_WRITE, head, data)

    def _send(self, kind: int, number: int | None, *fields: bytes) -> None:
        """In the place of `SFTPHandler.send_packet`: what comes last, which may be data, is not joined to the rest."""
        if not self._handler._writer or self._channel._send_state != "open":
            self._send_request(kind, number, *fields)
            return
        *before, last = fields
        head = Byte(kind) + b"".join(before)
        head = UInt32(len(head) + len(last)) + head
        self._channel._send_buf += [(head, None), (last, None)]
        self._channel._send_buf_len += len(head) + len(last)
        self._flush()
        self._keep_rest()

    def _keep_rest(self) -> None:
        """What has to wait for the window stays in a copy: nobody else's memory is looked at later."""
        queue = self._channel._send_buf
        if queue and isinstance(queue[-1][0], memoryview):
            queue[-1] = bytes(queue[-1][0]), queue[-1][1]

    def _flush(self) -> None:
        """In the place of `SSHChannel._flush_send_buf`, which sees to the rest where nothing more can be sent."""
        channel = self._channel
        while channel._send_buf and channel._send_window:
            parts, size = self._next_parts(min(channel._send_window, channel._send_pktsize))
            channel._send_buf_len -= size
            channel._send_window -= size
            if self._is_ready():
                self._send_parts(parts, size)
            else:
                channel.send_packet(MSG_CHANNEL_DATA, String(b"".join(parts)))
        self._flush_nothing()

    def _next_parts(self, limit: int) -> tuple[list[Part], int]:
        """Up to `limit` bytes from the front of the queue, and how many they are."""
        queue, room = self._channel._send_buf, limit
        parts: list[Part] = []
        while queue and room:
            data, kind = queue[0]
            if len(data) > room:
                rest = memoryview(data)
                data, queue[0] = rest[:room], (rest[room:], kind)
            else:
                del queue[0]
            parts.append(data)
            room -= len(data)
        return parts, limit - room

    def _is_ready(self) -> bool:
        """Whether a packet may leave as it is: encrypted, not compressed, and no exchange of keys under way or due."""
        it = self._connection
        is_due = it._rekey_bytes_sent >= it._rekey_bytes or (it._rekey_seconds and time.monotonic() >= it._rekey_time)
        return bool(it._send_encryption and it._kex_complete and not it._compressor and not is_due)

    def _send_parts(self, parts: Sequence[Part], size: int) -> None:
        """One packet of RFC 4253, section 6, that carries data of RFC 4254, section 5.2."""
        it = self._connection
        head = self._head + UInt32(size)
        padding = -(it._send_enchdrlen + len(head) + size) % it._send_blocksize
        if padding < _LEAST_PADDING:
            padding += it._send_blocksize
        packet = b"".join((Byte(padding), head, *parts, self._padding.take(padding)))
        if gcm := gcm_of(it._send_encryption):
            it._send(gcm.seal(UInt32(len(packet)), packet))
        else:
            encrypted, mac = it._send_encryption.encrypt_packet(it._send_seq, UInt32(len(packet)), packet)
            it._send(encrypted + mac)
        it._send_seq = (it._send_seq + 1) & 0xFFFFFFFF
        it._rekey_bytes_sent += len(packet)
