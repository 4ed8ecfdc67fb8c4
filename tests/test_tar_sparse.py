"""Sparse files in all four of GNU tar's formats: their maps are read, and those that cannot be are damage."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from async_backup.archive.member import REGULAR
from async_backup.archive.tar import DamagedTar, Sparse
from tests.tar_blocks import SPARSE, SPARSE_DATA, SPARSE_FORMATS, block, only, pax, read_all, sparse_1_0

if TYPE_CHECKING:
    from collections.abc import Callable

sparse_formats = pytest.mark.parametrize("member_of", SPARSE_FORMATS)


@sparse_formats
def test_a_sparse_file_has_the_extents_of_its_data(member_of: Callable[..., bytes]) -> None:
    [(member, data), (after, _)] = read_all(member_of([(1024, 512), (4000, 100), (5000, 0)]) + block(b"after"))
    assert (member.path, member.type, member.size, member.sparse) == (b"x", REGULAR, 612, SPARSE)
    assert (data, after.path) == (SPARSE_DATA, b"after")


@sparse_formats
@pytest.mark.parametrize("extents", [0, 3, 4, 5, 25, 26, 47, 300])
def test_a_sparse_file_of_many_extents(member_of: Callable[..., bytes], extents: int) -> None:
    pairs = [(1000 * number + 7, number % 9 + 1) for number in range(extents)]
    data = os.urandom(sum(length for _, length in pairs))
    [(member, found)] = read_all(member_of(pairs, real_size=1_000_000, data=data))
    assert (member.sparse, found) == (Sparse(1_000_000, tuple(pairs)), data)


@sparse_formats
@pytest.mark.parametrize(
    "pairs",
    [
        [(4000, 100), (1024, 512)],
        [(1024, 512), (1535, 100)],
        [(1024, 512), (4901, 100)],
        [(1024, 512), (4000, 99)],
        [(1024, 612), (5001, 0)],
        [(0, 512), (1 << 32, 100)],
    ],
    ids=[
        "descending",
        "overlapping",
        "past the end",
        "less than the payload",
        "empty past the end",
        "far past the end",
    ],
)
def test_a_sparse_map_that_cannot_be_is_damage(member_of: Callable[..., bytes], pairs: list[tuple[int, int]]) -> None:
    with pytest.raises(DamagedTar, match="at byte 0: the sparse map"):
        only(member_of(pairs))


@pytest.mark.parametrize(
    "text", [b"x", b"1", b"1\n", b"1\n5\n", b"-1\n", b"9" * 600, b"99999999\n", b"\n", b"1\n5\n" + b"9" * 19 + b"\n"]
)
def test_a_sparse_map_in_the_payload_that_is_none_is_damage(text: bytes) -> None:
    archive = sparse_1_0([]).replace(b"0\n" + bytes(len(text)), text + b"\0\0", 1)
    with pytest.raises(DamagedTar, match="at byte 0: "):
        only(archive)


@pytest.mark.parametrize(
    "records",
    [
        [(b"GNU.sparse.map", b"0,1")],
        [(b"GNU.sparse.size", b"5"), (b"GNU.sparse.map", b"0,1,2")],
        [(b"GNU.sparse.size", b"5"), (b"GNU.sparse.map", b"0,,1")],
        [(b"GNU.sparse.size", b"5"), (b"GNU.sparse.map", b"0," * 3_000_000)],
        [(b"GNU.sparse.size", b"5"), (b"GNU.sparse.offset", b"0"), (b"GNU.sparse.offset", b"0")],
        [(b"GNU.sparse.size", b"5"), (b"GNU.sparse.numbytes", b"0")],
        [(b"GNU.sparse.size", b"5"), (b"GNU.sparse.offset", b"0")],
        [(b"GNU.sparse.major", b"2"), (b"GNU.sparse.realsize", b"5")],
        [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")],
    ],
)
def test_records_of_a_sparse_file_that_do_not_fit_together_are_damage(records: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(DamagedTar, match="at byte 0: "):
        only(pax(*records) + block())
