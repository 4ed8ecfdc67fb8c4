"""The answers of one SFTP channel, cut from the channel's data as they come.

asyncssh lets a task wait for each answer's length and then for the rest of it. Here an answer goes to its request as
soon as its last byte is there, and the data that it carries are not copied on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncssh.packet import PacketDecodeError, SSHPacket
from asyncssh.sftp import MAX_SFTP_PACKET_LEN, SFTPBadMessage

if TYPE_CHECKING:
    from collections.abc import Coroutine

_LENGTH = 4
_MOST_PARTS = 2048
"""Pieces of an answer that are kept apart: a server may send it in crumbs, each of which costs some hundred bytes."""
_DATA = b"\x67"
"""The first byte of SSH_FXP_DATA (SFTP draft 02, section 3)."""


class Answers:
    """Stands in one SFTP channel in the place of the stream from which the library reads answers.

    What `SFTPClientFile.read` returns is a memoryview then.
    """

    def __init__(self, handler: Any, session: Any) -> None:
        """Between two answers only: nothing may be on its way to the stream."""
        self._handler = handler
        self._parts: list[memoryview] = []
        self._size = 0
        self._wanted = _LENGTH
        self._take_other = session.data_received
        session.data_received = self._take

    def _take(self, data: bytes | memoryview, kind: int | None) -> None:
        """In the place of `SSHStreamSession.data_received`; `kind` is set for what is not SFTP."""
        if kind is not None:
            self._take_other(data, kind)
            return
        self._parts.append(memoryview(data))
        if len(self._parts) > _MOST_PARTS:
            self._parts = [memoryview(b"".join(self._parts))]
        self._size += len(data)
        while self._size >= self._wanted and self._handler._writer:
            self._wanted = self._advanced()

    def _advanced(self) -> int:
        """Give away the answer that stands first, if all of it is there; how many bytes the next step takes."""
        whole = self._parts[0] if len(self._parts) == 1 else memoryview(b"".join(self._parts))
        end = _LENGTH + int.from_bytes(whole[:_LENGTH], "big")
        if end > _LENGTH + MAX_SFTP_PACKET_LEN:
            _run(self._handler._cleanup(SFTPBadMessage("Max packet size exceeded")))
        elif end <= len(whole):
            self._answer(whole[_LENGTH:end])
            whole, end = whole[end:], _LENGTH
        self._parts, self._size = [whole] if whole else [], len(whole)
        return end

    def _answer(self, answer: memoryview) -> None:
        packet: Any = SSHPacket(answer if answer[:1] == _DATA else bytes(answer))  # type: ignore[arg-type]
        try:
            kind, number = packet.get_byte(), packet.get_uint32()
        except PacketDecodeError as error:
            _run(self._handler._cleanup(SFTPBadMessage(str(error))))
        else:
            _run(self._handler._process_packet(kind, number, packet))


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run one of the library's that is a coroutine but has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("asyncssh waits where it never did")
