"""Checksum files: what is written is read back, by us and by md5sum; what is of no use is told from what is."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.checksum_files import (
    SIZE_LIMIT,
    checksum_line,
    checksum_name,
    recorded_digest,
    write_checksum_file,
)
from async_backup.config import DIGITS
from async_backup.errors import RemoteExists, RemoteFull
from async_backup.remote.memory import MemoryStore
from tests.runs import RUN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.remote.base import RemoteFile

NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)
NAME = b"wiki-2026-11-24T031502.tar.gz"
DIGEST = "0123456789abcdef" * 2


@given(NAMES)
def test_a_checksum_line_is_one_line_and_gives_the_name_back(name: bytes) -> None:
    line = checksum_line("d" * 32, name)
    assert line.count(b"\n") == 1
    mark, rest = (b"\\", line[1:]) if line.startswith(b"\\") else (b"", line)
    shown = rest.removesuffix(b"\n").removeprefix(b"d" * 32 + b"  ")
    if mark:
        shown = shown.replace(b"\\\\", b"\0").replace(b"\\n", b"\n").replace(b"\\r", b"\r").replace(b"\0", b"\\")
    assert shown == name


@given(NAMES, st.sampled_from(sorted(DIGITS)))
def test_what_is_written_is_read_back_and_never_longer_than_the_limit(name: bytes, algorithm: str) -> None:
    digest = hashlib.new(algorithm, name).hexdigest()
    line = checksum_line(digest, name)
    assert recorded_digest(line, algorithm, name) == digest
    assert len(line) <= SIZE_LIMIT


@given(NAMES, NAMES)
def test_the_line_of_another_file_is_never_taken_for_that_of_this_one(name: bytes, other: bytes) -> None:
    if other in {name, b"./" + name}:
        return
    with pytest.raises(ValueError, match="names another file"):
        recorded_digest(checksum_line(DIGEST, other), "md5", name)


@settings(max_examples=30)
@given(NAMES.filter(lambda name: name not in {b".", b".."}))
def test_what_md5sum_writes_is_read_and_what_we_write_md5sum_checks(name: bytes) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        base, sums = Path(scratch) / "files", Path(scratch) / "sums"
        base.mkdir()
        path = os.path.join(os.fsencode(base), name)
        Path(os.fsdecode(path)).write_bytes(name)
        digest = hashlib.md5(name, usedforsecurity=False).hexdigest()
        # A file called - is standard input to md5sum, so that holds the same.
        there = subprocess.run(["md5sum", "--", name], cwd=base, input=name, capture_output=True, check=True).stdout
        assert recorded_digest(there, "md5", name) == digest
        sums.write_bytes(checksum_line(digest, name))
        checked = subprocess.run(["md5sum", "-c", sums], cwd=base, input=name, check=False)
        assert checked.returncode == 0


@pytest.mark.parametrize(
    "content",
    [
        b"%b  %b\n" % (DIGEST.encode(), NAME),
        b"%b *%b" % (DIGEST.encode(), NAME),
        b"%b  ./%b\n" % (DIGEST.encode(), NAME),
        b"%b  %b\r\n" % (DIGEST.upper().encode(), NAME),
    ],
)
def test_other_spellings_are_read_too(content: bytes) -> None:
    assert recorded_digest(content, "md5", NAME) == DIGEST


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"\0" * 67, "one line"),
        (DIGEST.encode(), "one line"),
        (b"%b  %b\n" % (DIGEST[:-1].encode(), NAME), "one line"),
        (b"%b  %b\n" % (DIGEST.encode() * 2, NAME), "32 hexadecimal digits"),
        (b"%b %b\n" % (DIGEST.encode(), NAME), "one line"),
        (b"%b  %b\n" % (b"g" * 32, NAME), "one line"),
        (b"%b  %b\n%b  b\n" % (DIGEST.encode(), NAME, DIGEST.encode()), "one line"),
        (b"%b  other.tar.gz\n" % DIGEST.encode(), r"names another file: other\.tar\.gz"),
    ],
)
def test_what_records_no_digest_of_this_file_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        recorded_digest(content, "md5", NAME)


@given(st.binary(max_size=300))
def test_whatever_stands_in_the_file_it_gives_a_digest_or_a_reason(content: bytes) -> None:
    with suppress(ValueError):
        assert len(recorded_digest(content, "md5", NAME)) == 32


@asynccontextmanager
async def removed(path: bytes, file: RemoteFile, *, store: MemoryStore) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await file.abandon()
        await store.remove(path)
        raise


async def write(store: MemoryStore) -> None:
    await write_checksum_file(
        store,
        b"/backups/" + NAME,
        algorithm="md5",
        digest=DIGEST,
        run=RUN,
        discarded=lambda path, file: removed(path, file, store=store),
    )


@pytest.mark.anyio
async def test_a_checksum_file_is_written_beside_its_archive() -> None:
    store = MemoryStore()
    await write(store)
    assert store.files == {b"/backups/" + checksum_name(NAME, "md5"): checksum_line(DIGEST, NAME)}


@pytest.mark.anyio
async def test_a_checksum_file_that_is_there_stays_as_it_is() -> None:
    store = MemoryStore()
    store.put(b"/backups/" + checksum_name(NAME, "md5"), b"somebody's")
    with pytest.raises(RemoteExists):
        await write(store)
    assert store.files == {b"/backups/" + checksum_name(NAME, "md5"): b"somebody's"}


@pytest.mark.anyio
@pytest.mark.parametrize("request_name", ["create", "write", "finish", "rename"])
async def test_nothing_is_left_of_a_checksum_file_that_cannot_be_written(request_name: str) -> None:
    store = MemoryStore(faults={request_name: [RemoteFull("full")]})
    with pytest.raises(RemoteFull):
        await write(store)
    assert store.files == {}
    assert store.unused_faults == 0
