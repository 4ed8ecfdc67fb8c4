"""Names and attributes as a server tells them, which may be anything."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from async_backup.remote.base import RemoteEntry

if TYPE_CHECKING:
    import asyncssh


def name_bytes(name: bytes | str) -> bytes:
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")


def is_name(name: bytes) -> bool:
    """Whether it names something in the directory: a server may say what it likes."""
    return name not in {b"", b".", b".."} and b"/" not in name and b"\0" not in name


def entry_of(name: bytes, attributes: asyncssh.SFTPAttrs) -> RemoteEntry:
    mode = attributes.permissions or 0
    return RemoteEntry(
        name,
        float(attributes.mtime or 0),
        size=attributes.size or 0,
        is_directory=stat.S_ISDIR(mode),
        # Of a server that does not tell types nothing could be read if what it lists were no files.
        is_file=stat.S_ISREG(mode) or stat.S_IFMT(mode) == 0,
    )
