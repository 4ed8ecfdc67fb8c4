"""Packets of one turn of the event loop leave together, and always in their order."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.remote.ssh.gathered import Gathered

pytestmark = pytest.mark.anyio

LARGE = 16 << 10


class Transport:
    """Keeps what it is given; `is_broken` as one whose other end has gone."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.written: list[bytes] = []
        self.is_closed = False
        self._is_broken = is_broken

    def write(self, data: bytes) -> None:
        if self._is_broken:
            raise BrokenPipeError
        assert not self.is_closed
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True


def gathered(transport: Transport) -> SimpleNamespace:
    connection = SimpleNamespace(_transport=transport, _send=None)
    Gathered(connection)
    return connection


async def turn() -> None:
    await asyncio.sleep(0)


async def test_small_packets_of_one_turn_leave_together() -> None:
    transport = Transport()
    connection = gathered(transport)
    for packet in (b"a", b"b", b"c"):
        connection._send(packet)
    assert transport.written == []
    await turn()
    assert transport.written == [b"abc"]
    connection._send(b"d")
    await turn()
    assert transport.written == [b"abc", b"d"]


async def test_a_large_one_is_sent_at_once_behind_those_that_wait() -> None:
    transport = Transport()
    connection = gathered(transport)
    for packet in (b"a", bytes(LARGE), b"b"):
        connection._send(packet)
    assert transport.written == [b"a", bytes(LARGE)]
    await turn()
    assert transport.written[2:] == [b"b"]


@given(st.lists(st.none() | st.sampled_from([1, 100, LARGE - 1, LARGE, 40_000]), max_size=30))
async def test_nothing_is_lost_or_overtaken(steps: list[int | None]) -> None:
    transport = Transport()
    connection = gathered(transport)
    sent = []
    for number, size in enumerate(steps):
        if size is None:
            await turn()
        else:
            sent.append(bytes([number]) * size)
            connection._send(sent[-1])
    await turn()
    assert b"".join(transport.written) == b"".join(sent)


async def test_the_last_words_of_a_connection_leave_before_it_is_cut() -> None:
    transport = Transport()
    connection = gathered(transport)
    connection._send(b"goodbye")
    asyncio.get_running_loop().call_soon(transport.abort)  # as asyncssh does it
    connection._transport = None
    await turn()
    assert (transport.written, transport.is_closed) == ([b"goodbye"], True)


async def test_what_comes_too_late_is_dropped() -> None:
    closed, broken = Transport(), Transport(is_broken=True)
    closed.abort()
    for transport in (closed, broken):
        connection = gathered(transport)
        connection._send(b"a")
        connection._send(bytes(LARGE))
        await turn()
        assert transport.written == []


async def test_a_connection_that_was_lost_as_soon_as_it_was_made_drops_what_it_gets() -> None:
    connection = SimpleNamespace(_transport=None, _send=None)
    Gathered(connection)
    connection._send(b"small")
    connection._send(bytes(LARGE))
    await turn()
