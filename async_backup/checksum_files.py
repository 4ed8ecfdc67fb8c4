"""The file `NAME.tar.gz.md5` beside an archive: one line, as `md5sum` and its sisters write and check it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from async_backup.config import DIGITS, NAME_LIMIT

if TYPE_CHECKING:
    from async_backup.remote.base import RemoteFile, RemoteStore
    from async_backup.remote.naming import RunId

Discarding = Callable[["bytes", "RemoteFile"], AbstractAsyncContextManager[None]]
"""What surrounds the work on a temporary file and removes it on error: path and file."""

SIZE_LIMIT = 1 + max(DIGITS.values()) + 2 + 2 * NAME_LIMIT + 2
"""Bytes of the longest file that records one digest of one file."""

_LINE = re.compile(rb"(\\?)([0-9a-fA-F]+) [ *](?:\./)?([^\r\n]+)\r?\n?")
_ESCAPES = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}


def checksum_name(name: bytes, algorithm: str) -> bytes:
    """The name of the file that records the digest of the file `name`; paths work too."""
    return b"%b.%b" % (name, algorithm.encode())


def checksum_line(digest: str, name: bytes) -> bytes:
    """A line that `md5sum -c` and its sisters read: a backslash in front announces an escaped name."""
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if escaped != name else b""
    return b"%b%b  %b\n" % (mark, digest.encode(), escaped)


def recorded_digest(content: bytes, algorithm: str, name: bytes) -> str:
    """The digest, in small letters, that a checksum file records for the file `name`.

    Raises ValueError where it records none, or that of another file; the text says which.
    """
    if not content.strip():
        raise ValueError("it is empty")
    match = _LINE.fullmatch(content)
    if match is None or len(match[2]) != DIGITS[algorithm]:
        raise ValueError(f"it does not hold one line with {DIGITS[algorithm]} hexadecimal digits and a name")
    if _unescaped(match[3], is_escaped=bool(match[1])) != name:
        raise ValueError(f"it names another file: {match[3].decode('utf-8', 'surrogateescape')}")
    return match[2].decode().lower()


def _unescaped(name: bytes, *, is_escaped: bool) -> bytes:
    if not is_escaped:
        return name
    return re.sub(rb"\\([\\nr])", lambda match: _ESCAPES[match[1]], name)


async def write_checksum_file(
    store: RemoteStore, archive: bytes, *, algorithm: str, digest: str, run: RunId, discarded: Discarding
) -> None:
    """Record the digest of the archive at a path of the server, under a temporary name first.

    Raises RemoteExists where there is such a file already, which stays as it is, and other RemoteErrors.
    """
    directory, slash, name = archive.rpartition(b"/")
    final = checksum_name(archive, algorithm)
    temporary = directory + slash + run.temporary_name(checksum_name(name, algorithm))
    file = await store.create(temporary)
    async with discarded(temporary, file):
        await file.write_whole(checksum_line(digest, name))
        await store.rename(temporary, final)
