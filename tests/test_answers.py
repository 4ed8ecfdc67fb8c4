"""Answers of an SFTP server, cut from a channel's data: whole and in order, or the channel is given up."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncssh.sftp import MAX_SFTP_PACKET_LEN, SFTPBadMessage
from hypothesis import given
from hypothesis import strategies as st

from async_backup.remote.ssh.answers import Answers

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA, STATUS = 103, 101


@dataclass
class Handler:
    """What the library does with answers: each with its kind, its number and what is left of it."""

    taken: list[tuple[int, int, bytes]] = field(default_factory=list)
    errors: list[Exception | None] = field(default_factory=list)
    _writer: object | None = "open"

    async def _process_packet(self, kind: int, number: int, packet: Any) -> None:
        self.taken.append((kind, number, bytes(packet.get_remaining_payload())))

    async def _cleanup(self, error: Exception | None) -> None:
        self.errors.append(error)
        self._writer = None


@dataclass
class Session:
    others: list[tuple[bytes, int | None]] = field(default_factory=list)

    def data_received(self, data: bytes, kind: int | None) -> None:
        self.others.append((data, kind))


def framed(answer: bytes) -> bytes:
    return len(answer).to_bytes(4, "big") + answer


def answer(kind: int, number: int, rest: bytes) -> bytes:
    return framed(bytes([kind]) + number.to_bytes(4, "big") + rest)


def received(stream: bytes, cuts: Sequence[int]) -> Handler:
    """What comes of the stream if it comes in pieces that end there."""
    handler, session = Handler(), Session()
    Answers(handler, session)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    for start, end in zip([0, *ends], ends, strict=False):
        session.data_received(memoryview(stream)[start:end], None)  # type: ignore[arg-type]
    return handler


ANSWERS = st.lists(st.tuples(st.sampled_from([DATA, STATUS]), st.integers(0, 2**32 - 1), st.binary(max_size=300)))
CUTS = st.lists(st.integers(0, 3000))


@given(answers=ANSWERS, cuts=CUTS)
def test_answers_arrive_whole_and_in_order_however_they_are_cut(
    answers: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    handler = received(b"".join(answer(*it) for it in answers), cuts)
    assert (handler.taken, handler.errors) == (answers, [])


@given(answers=ANSWERS, bad=st.binary(max_size=4), cuts=CUTS)
def test_an_answer_without_a_number_ends_the_channel_and_nothing_behind_it_is_taken(
    answers: list[tuple[int, int, bytes]], bad: bytes, cuts: list[int]
) -> None:
    stream = b"".join(answer(*it) for it in answers) + framed(bad) + answer(STATUS, 1, b"")
    handler = received(stream, cuts)
    assert handler.taken == answers
    assert [type(error) for error in handler.errors] == [SFTPBadMessage]


@given(length=st.integers(MAX_SFTP_PACKET_LEN + 1, 2**32 - 1), cuts=CUTS)
def test_one_that_is_longer_than_any_ends_it_before_it_is_there(length: int, cuts: list[int]) -> None:
    handler = received(answer(STATUS, 1, b"first") + length.to_bytes(4, "big") + b"rest", cuts)
    assert handler.taken == [(STATUS, 1, b"first")]
    assert [str(error) for error in handler.errors] == ["Max packet size exceeded"]


def test_one_of_the_greatest_length_arrives() -> None:
    content = random.Random(1).randbytes(MAX_SFTP_PACKET_LEN - 5)
    assert received(answer(DATA, 7, content), range(0, MAX_SFTP_PACKET_LEN, 32_768)).taken == [(DATA, 7, content)]


def test_an_answer_in_crumbs_costs_little_more_than_its_size() -> None:
    content = random.Random(2).randbytes(100_000)
    stream, handler, session = answer(DATA, 7, content), Handler(), Session()
    Answers(handler, session)
    tracemalloc.start()
    try:
        for place in range(len(stream)):
            session.data_received(stream[place : place + 1] + b"", None)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(content)
    finally:
        tracemalloc.stop()
    assert handler.taken == [(DATA, 7, content)]


def test_what_is_no_sftp_goes_where_it_went() -> None:
    handler, session = Handler(), Session()
    Answers(handler, session)
    session.data_received(b"words of a shell", 1)
    assert (session.others, handler.taken) == ([(b"words of a shell", 1)], [])
