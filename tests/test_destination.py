"""Destinations as they are written and shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.config import Destination


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("u@host:/d/e", "u@host:/d/e"),
        ("host:d", "host:d"),
        ("sftp://u@host/d", "u@host:/d"),
        ("sftp://u@host:2222/d/e", "sftp://u@host:2222/d/e"),
        ("sftp://host:2222/~/d", "sftp://host:2222/~/d"),
        ("sftp://host:2222", "sftp://host:2222/~/."),
        ("sftp://[::1]:2222/d", "sftp://[::1]:2222/d"),
    ],
)
def test_one_with_a_port_is_shown_with_it(written: str, shown: str) -> None:
    assert str(Destination.parse(written)) == shown


@given(
    st.sampled_from(["host", "::1", "10.0.0.1"]),
    st.sampled_from([b"/d", b"/", b"d/e", b".", b"/a b", b"/a b%20c#x?y", b"d\xe9", "/ü".encode()]),
    st.sampled_from([None, "u", "u@v", "a:b/c"]),
    st.integers(1, 65535),
)
def test_what_is_shown_may_be_written(host: str, directory: bytes, user: str | None, port: int) -> None:
    destination = Destination(host, directory, user, port)
    assert Destination.parse(str(destination)) == destination
