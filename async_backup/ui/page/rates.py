"""Bytes over time, in a bounded number of steps however long it takes."""

from __future__ import annotations

from typing import NamedTuple

STEPS_LIMIT = 240
_FIRST_STEP = 0.25


class Rate(NamedTuple):
    """Bytes a second, from `begin` to `end` in seconds since the start."""

    begin: float
    end: float
    read: float
    sent: float


class Rates:
    """Counts what was read and sent in equal steps of time; once there would be too many, every two become one."""

    def __init__(self, limit: int = STEPS_LIMIT) -> None:
        self._limit = limit
        self._step = _FIRST_STEP
        self._read: list[int] = []
        self._sent: list[int] = []

    def add_read(self, at: float, count: int) -> None:
        """`count` bytes were read; `at` is in seconds since the start, from 0."""
        place = self._place(at)  # first, since it may replace the lists
        self._read[place] += count

    def add_sent(self, at: float, count: int) -> None:
        place = self._place(at)
        self._sent[place] += count

    def _place(self, at: float) -> int:
        while at >= self._step * self._limit:
            self._step *= 2
            self._read, self._sent = _paired(self._read), _paired(self._sent)
        place = int(at / self._step)
        missing = [0] * (place + 1 - len(self._read))
        self._read += missing
        self._sent += missing
        return place

    def until(self, end: float) -> list[Rate]:
        """The rates from the start to `end`, without a gap; the last step may be shorter or longer than the others."""
        if end <= 0 or not self._read:
            return []
        self._place(end)
        begins = [place * self._step for place in range(len(self._read))]
        read, sent = self._read, self._sent
        if len(begins) > 1 and end - begins[-1] < self._step / 2:  # a rate over a moment says nothing
            begins, read, sent = begins[:-1], _last_joined(read), _last_joined(sent)
        return [
            Rate(begin, stop, count / (stop - begin), other / (stop - begin))
            for begin, stop, count, other in zip(begins, [*begins[1:], end], read, sent, strict=True)
        ]


def _last_joined(counts: list[int]) -> list[int]:
    return [*counts[:-2], sum(counts[-2:])]


def _paired(counts: list[int]) -> list[int]:
    return [sum(counts[place : place + 2]) for place in range(0, len(counts), 2)]
