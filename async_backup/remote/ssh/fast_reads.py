"""Packets on their way in: those that carry data or room for data go where they belong on a short way.

asyncssh cuts what came from the line after each packet, copies each packet seven times, and words two lines of a log
for it. Here packets are decrypted where they lie. All that is not data of a channel of ours, or not as it should be,
is left to the library as if it had been decrypted there.
"""

from __future__ import annotations

import struct
from typing import Any

from asyncssh.constants import MSG_CHANNEL_DATA, MSG_CHANNEL_WINDOW_ADJUST

from async_backup.remote.ssh.gcm import TAG, gcm_of

_LENGTH = 4
_LEAST = 32
"""Bytes of the shortest packet: a length, a block and a tag."""

_HEAD = struct.Struct(">BBII")
"""Padding's length and message's number (RFC 4253, section 6), channel and size or window (RFC 4254, section 5.2)."""


class FastReads:
    """Stands in one connection in the place of what begins to read a packet, while the cipher is AES-GCM."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._channels: dict[int, Any] = {}
        self._begin_packet = connection._recv_pkthdr
        connection._recv_pkthdr = self._receive

    def add(self, channel: Any) -> None:
        """Bring this channel its data on the short way; those that are gone are forgotten."""
        there = self._connection._channels
        self._channels = {number: old for number, old in self._channels.items() if there.get(number) is old}
        self._channels[channel._recv_chan] = channel

    def _receive(self) -> bool:
        """In the place of `SSHConnection._recv_pkthdr`: all whole packets; whether the next one can be begun."""
        it = self._connection
        gcm = None if it._decompressor else gcm_of(it._recv_encryption)
        if gcm is None:
            return bool(self._begin_packet())
        data, start = it._inpbuf, 0
        view = memoryview(data)
        while start < (end := self._end_of_packet(data, start)) <= len(data):
            packet = gcm.open(data[start : start + _LENGTH], view[start + _LENGTH : end])
            if packet is None or not self._deliver(packet):
                it._inpbuf = data[start:]
                return self._hand_over(packet)
            it._recv_seq = (it._recv_seq + 1) & 0xFFFFFFFF
            start = end
        it._inpbuf = data[start:]
        return bool(self._begin_packet()) if end == start else False

    def _end_of_packet(self, data: bytes, start: int) -> int:
        """Where it ends, which may be behind what has come; `start` where its length is one that cannot be."""
        length = int.from_bytes(data[start : start + _LENGTH], "big")
        if len(data) - start < _LEAST:
            return start + _LEAST
        return start if length > self._connection._max_recv_pktlen else start + _LENGTH + length + TAG

    def _deliver(self, packet: bytes) -> bool:
        """Whether it was data or a larger window for a channel of ours, and nothing was wrong with it."""
        if len(packet) < _HEAD.size:
            return False
        padding, kind, number, amount = _HEAD.unpack_from(packet)
        channel = self._channels.get(number)
        if channel is None or self._connection._channels.get(number) is not channel or channel._recv_state != "open":
            return False
        size = len(packet) - _HEAD.size - padding
        if kind == MSG_CHANNEL_WINDOW_ADJUST and size == 0:
            channel._send_window += amount
            channel._flush_send_buf()
        elif kind == MSG_CHANNEL_DATA and 0 < amount == size <= channel._recv_window:
            channel._accept_data(memoryview(packet)[_HEAD.size : _HEAD.size + size])
        else:
            return False
        return True

    def _hand_over(self, packet: bytes | None) -> bool:
        """Let the library deal with the first packet of its buffer, which was decrypted; None where that failed."""
        it = self._connection
        cipher, it._recv_encryption = it._recv_encryption, _Decrypted(packet)
        try:
            return bool(self._begin_packet() and it._recv_packet())
        finally:
            if isinstance(it._recv_encryption, _Decrypted):  # or the packet has brought new keys
                it._recv_encryption = cipher


class _Decrypted:
    """Stands in the place of a cipher for one packet."""

    def __init__(self, packet: bytes | None) -> None:
        self._packet = packet

    def decrypt_header(self, _number: int, block: bytes, length: int) -> tuple[bytes, bytes]:
        return block, block[:length]

    def decrypt_packet(self, *_: object) -> bytes | None:
        return self._packet
