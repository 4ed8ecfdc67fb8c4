"""Extended attributes and POSIX ACLs of a file, as the pax records that GNU tar, bsdtar and star know.

`SCHILY.xattr.NAME=VALUE` holds the bytes of an attribute, `SCHILY.acl.access` and `SCHILY.acl.default` the text of an
ACL: bsdtar passes over an attribute `system.posix_acl_access`. A `%` or `=` in a name becomes `%25` or `%3D`, as GNU
tar writes and reads them; bsdtar 3.6.2 and Python know nothing of that and show such names as they stand there.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.acl import to_text
from async_backup.archive.header import pax_record

if TYPE_CHECKING:
    from collections.abc import Callable

ARE_SUPPORTED = hasattr(os, "listxattr")
"""On Linux; elsewhere nobody has any, as far as Python can tell."""

_ACLS = {b"system.posix_acl_access": b"SCHILY.acl.access", b"system.posix_acl_default": b"SCHILY.acl.default"}
_NONE_THERE = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ENODATA}
_NONE_BY_NAME = _NONE_THERE | {errno.EPERM, errno.ENOENT}
"""A special file has none to show, or /proc is not there."""


class Xattrs(NamedTuple):
    """The records of one file, and what is missing among them."""

    records: bytes = b""
    problem: str = ""


NO_XATTRS = Xattrs()


def xattrs_of(descriptor: int, limit: int) -> Xattrs:
    """Those of an open file or directory, at most `limit` bytes of records; never raises OSError."""
    if not ARE_SUPPORTED:
        return NO_XATTRS
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        return NO_XATTRS if error.errno in _NONE_THERE else _unreadable(error)
    return _read(names, partial(os.getxattr, descriptor), limit) if names else NO_XATTRS


def xattrs_by_name(name: bytes, directory: int, limit: int) -> Xattrs:
    """Those of a symbolic link, or of what must not be opened, in the open `directory`; never raises OSError."""
    if not ARE_SUPPORTED:
        return NO_XATTRS
    path = b"/proc/self/fd/%d/%b" % (directory, name)
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        return NO_XATTRS if error.errno in _NONE_BY_NAME else _unreadable(error)
    return _read(names, partial(os.getxattr, path, follow_symlinks=False), limit) if names else NO_XATTRS


def _read(names: list[str], get: Callable[[bytes], bytes], limit: int) -> Xattrs:
    """Sorted by name, so that the same attributes give the same bytes."""
    records: list[bytes] = []
    problems: list[str] = []
    for name in sorted(map(os.fsencode, names)):
        try:
            record = _record(name, get(name))
        except (OSError, ValueError) as error:
            if not isinstance(error, OSError) or error.errno not in _NONE_THERE:
                problems.append(_described(name, error))
            continue
        if len(record) > limit:
            problems.append(f"{os.fsdecode(name)}: its {len(record)} bytes do not fit into the segment")
            continue
        limit -= len(record)
        records.append(record)
    problem = f"its extended attributes could not be read: {'; '.join(problems)}" if problems else ""
    return Xattrs(b"".join(records), problem)


def _record(name: bytes, value: bytes) -> bytes:
    keyword = _ACLS.get(name)
    if keyword is not None:
        return pax_record(keyword, to_text(value))
    return pax_record(b"SCHILY.xattr." + name.replace(b"%", b"%25").replace(b"=", b"%3D"), value)


def _described(name: bytes, error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{os.fsdecode(name)}: {reason or error}"


def _unreadable(error: OSError) -> Xattrs:
    return Xattrs(b"", f"its extended attributes could not be read: {error.strerror or error}")
