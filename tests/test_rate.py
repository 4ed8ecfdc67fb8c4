"""The rate limit, on a clock of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.remote import rate
from async_backup.remote.rate import RateLimit


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(rate, "current_time", lambda: self.now)
        monkeypatch.setattr(rate, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(limit: RateLimit, size: int) -> None:
    """Take `size` bytes; on this clock nothing ever has to wait for anybody else."""
    step = limit.take(size)
    with pytest.raises(StopIteration):
        step.send(None)


def test_without_a_limit_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    for _ in range(100):
        run(RateLimit(None), 1 << 30)
    assert clock.now == 1000.0


def test_a_full_second_of_bytes_takes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, limit = Clock(monkeypatch), RateLimit(1_000_000)
    for _ in range(101):
        run(limit, 100_000)
    assert 9.7 <= clock.now - 1000.0 <= 10.01


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 3_000_000)), min_size=1, max_size=40),
    st.integers(1024, 10_000_000),
)
def test_whatever_the_order_no_span_of_time_carries_more_than_its_share(
    pieces: list[tuple[float, int]], bytes_a_second: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock, limit = Clock(patch), RateLimit(bytes_a_second)
        sent: list[tuple[float, int]] = []
        for pause, size in pieces:
            clock.now += pause
            run(limit, size)
            sent.append((clock.now, size))
    for i, (start, _) in enumerate(sent):
        carried = 0
        for end, size in sent[i:]:
            assert carried <= bytes_a_second * (end - start + 0.25) + 1  # what is sent last has only begun
            carried += size
