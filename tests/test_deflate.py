"""Compressed bytes follow from the data and the level, whichever process makes them."""

from __future__ import annotations

import subprocess
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.deflate import GZIP, ZLIB, deflate

LEVELS = range(10)

DIGEST_OF_MANY = """
import hashlib, random
from async_backup.archive.deflate import GZIP, deflate
random.seed(1)
text = bytes(random.choices(b"abcdefg", k=400))
digest = hashlib.sha256()
for _ in range(20_000):
    head = random.randbytes(8)  # is found again behind the text, unless its place in the table is lost
    digest.update(deflate(head + text + head, {level}, GZIP))
print(digest.hexdigest())
"""


@pytest.mark.parametrize("level", [1, 2, 3])
def test_processes_that_stand_elsewhere_in_memory_make_the_same_bytes(level: int) -> None:
    command = [sys.executable, "-c", DIGEST_OF_MANY.format(level=level)]
    assert len({subprocess.run(command, check=True, capture_output=True).stdout for _ in range(4)}) == 1


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", [GZIP, ZLIB])
@given(data=st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda data: data * 3000)))
def test_data_of_every_length_comes_back(level: int, form: int, data: bytes) -> None:
    assert zlib.decompress(deflate(data, level, form), form) == data


@pytest.mark.parametrize("level", LEVELS)
def test_a_gzip_header_has_neither_name_nor_time(level: int) -> None:
    assert deflate(b"data", level, GZIP)[:8] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0])
