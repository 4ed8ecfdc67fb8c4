"""Random bytes from a stock: none is given away twice."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.remote.ssh.padding import Padding


@given(st.lists(st.integers(4, 255), max_size=200))
def test_every_piece_is_as_long_as_it_should_be_and_new(sizes: list[int]) -> None:
    fetched = []

    def fetch(size: int) -> bytes:
        fetched.append(os.getrandom(size))
        return fetched[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("async_backup.remote.ssh.padding.os.urandom", fetch)
        padding = Padding()
        pieces = [padding.take(size) for size in sizes]
    assert [len(piece) for piece in pieces] == sizes
    stock = b"".join(fetched)
    start = 0
    for piece in pieces:  # each stands in the stock behind the one before
        found = stock.find(piece, start)
        assert found >= start
        start = found + len(piece)
