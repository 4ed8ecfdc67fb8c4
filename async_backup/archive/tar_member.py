"""What a tar reader knows of one member, put together from its header and from the headers before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.member import DIRECTORY, REGULAR
from async_backup.archive.pax import only_mtime, records, to_decimal, to_time, xattrs
from async_backup.archive.tar_block import ID_LIMIT, LINKS, SIZE_LIMIT, to_permissions, to_seconds, to_size, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backup.archive.tar_block import Fields

_BILLION = 1_000_000_000


class Sparse(NamedTuple):
    """A file with holes: its size, and where its data belongs as ascending (offset, length) in bytes.

    The payload is the data of the extents, one after another.
    """

    real_size: int
    extents: tuple[tuple[int, int], ...]


class TarMember(NamedTuple):
    """One member, as the archive has it."""

    path: bytes
    """Without slashes at its end; it may be empty, absolute or lead outside."""
    type: bytes
    """One of the types of `archive.member`; what is unknown is a regular file, as POSIX says."""
    mode: int
    """The permission bits."""
    uid: int
    gid: int
    user: bytes
    group: bytes
    size: int
    """Bytes of payload that follow in the stream; only regular files have any."""
    mtime_ns: int
    link: bytes
    """The target of a symbolic or hard link, else empty."""
    rdev: int
    xattrs: tuple[tuple[bytes, bytes], ...]
    acl_access: bytes
    acl_default: bytes
    sparse: Sparse | None
    offset: int
    """Where its first header block begins in the stream."""


class Helpers:
    """What the headers before a member's own one say of it."""

    __slots__ = ("long_link", "long_path", "mtime_ns", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.mtime_ns: int | None = None
        self.long_path = b""
        self.long_link = b""

    def add_records(self, data: bytes) -> None:
        mtime_ns = only_mtime(data)
        if mtime_ns is None:
            self.values |= records(data)
            if mtime := self.values.pop(b"mtime", b""):
                mtime_ns = to_time(mtime)
        if mtime_ns is not None:
            self.mtime_ns = mtime_ns


def assembled(start: int, fields: Fields, helpers: Helpers, common: Mapping[bytes, bytes]) -> TarMember:
    """The member that begins at `start`; `common` are the values of global headers.

    Its size is the whole payload's, for types too that should have none. Raises ValueError.
    """
    member = _plain(start, fields, helpers.mtime_ns)
    if helpers.values or helpers.long_path or helpers.long_link or common:
        member = _extended(member, helpers, {**common, **helpers.values})
    if member.path.endswith(b"/"):
        kind = DIRECTORY if member.type == REGULAR else member.type
        member = member._replace(path=member.path.rstrip(b"/"), type=kind)
    return member


def _plain(start: int, fields: Fields, mtime_ns: int | None) -> TarMember:
    """What the header says by itself, but for the mtime."""
    name, permissions, size, mtime, (_, kind, link, user, group, rdev, prefix, _) = fields
    path = to_text(name)
    if prefix:
        path = b"%b/%b" % (prefix, path)
    if mtime_ns is None:
        mtime_ns = to_seconds(mtime) * _BILLION
    mode, uid, gid = to_permissions(permissions)
    return TarMember._make(
        (path, kind, mode, uid, gid, user, group, to_size(size), mtime_ns, link, rdev, (), b"", b"", None, start)
    )


def _extended(member: TarMember, helpers: Helpers, values: Mapping[bytes, bytes]) -> TarMember:
    """The member with all that `helpers` and the extended `values` say; an empty value says nothing."""
    if helpers.mtime_ns is None and (mtime := values.get(b"mtime")):
        member = member._replace(mtime_ns=to_time(mtime))
    return member._replace(
        path=values.get(b"GNU.sparse.name") or values.get(b"path") or helpers.long_path or member.path,
        link=(values.get(b"linkpath") or helpers.long_link or member.link) if member.type in LINKS else b"",
        size=_number(values.get(b"size"), SIZE_LIMIT, member.size),
        uid=_number(values.get(b"uid"), ID_LIMIT, member.uid),
        gid=_number(values.get(b"gid"), ID_LIMIT, member.gid),
        user=values.get(b"uname") or member.user,
        group=values.get(b"gname") or member.group,
        xattrs=xattrs(values),
        acl_access=values.get(b"SCHILY.acl.access", b""),
        acl_default=values.get(b"SCHILY.acl.default", b""),
    )


def _number(value: bytes | None, limit: int, otherwise: int) -> int:
    return to_decimal(value, limit) if value else otherwise


def long_name(data: bytes) -> bytes:
    """The payload of a header of type `L` or `K`; raises ValueError."""
    name = data.rstrip(b"\0")
    if b"\0" in name:
        raise ValueError("a NUL stands in a long name")
    return name
