"""The records of pax extended headers (POSIX.1-2001): keywords with values that override a tar header's fields."""

from __future__ import annotations

from binascii import a2b_base64
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from async_backup.archive.tar_block import SIZE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

SPARSE_MAP = b"GNU.sparse.map"
SPARSE_KEYWORDS = {SPARSE_MAP, b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.size", b"GNU.sparse.realsize"}

_SPARSE_OFFSET, _SPARSE_LENGTH = b"GNU.sparse.offset", b"GNU.sparse.numbytes"
_TEXTS = {b"path", b"linkpath", b"uname", b"gname", b"GNU.sparse.name"}
_KNOWN = _TEXTS | SPARSE_KEYWORDS | {b"size", b"uid", b"gid", b"mtime", b"GNU.volume.filename"}
_KNOWN |= {b"SCHILY.acl.access", b"SCHILY.acl.default", b"RHT.security.selinux"}
_XATTR, _ENCODED_XATTR = b"SCHILY.xattr.", b"LIBARCHIVE.xattr."
_LENGTH_DIGITS = 8
_NUMBER_DIGITS = 19
_BILLION = 1_000_000_000


def only_mtime(data: bytes) -> int | None:
    """The nanoseconds of the most common header, one mtime of this century to nine digits; None for any other."""
    if len(data) == 30 and data.startswith(b"30 mtime=") and data[19] == ord(".") and data[29] == ord("\n"):
        digits = data[9:19] + data[20:29]
        if digits.isdigit():
            return int(digits)
    return None


def records(data: bytes) -> dict[bytes, bytes]:
    """The records whose keywords matter here; raises ValueError where they are not well formed.

    The pairs of GNU.sparse 0.0 come as the map of GNU.sparse 0.1.
    """
    found: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(data):
        keyword, value, at = _record(data, at)
        if keyword in {_SPARSE_OFFSET, _SPARSE_LENGTH}:
            if (keyword == _SPARSE_OFFSET) == len(sparse) % 2:
                raise ValueError("the sparse map is not one of offsets and lengths in turn")
            sparse.append(value)
        elif keyword in _KNOWN or keyword.startswith((_XATTR, _ENCODED_XATTR)):
            found[keyword] = value
    if sparse:
        found[SPARSE_MAP] = b",".join(sparse)
    return found


def _record(data: bytes, at: int) -> tuple[bytes, bytes, int]:
    """Keyword and value of the record at `at`, and where the next one begins: always further on."""
    space = data.find(b" ", at, at + _LENGTH_DIGITS + 1)
    end = at + int(data[at:space]) if space > at and data[at:space].isdigit() else 0
    equals = data.find(b"=", space, end)
    if not (space < equals < end <= len(data)) or data[end - 1] != ord("\n"):
        raise ValueError(f"the extended header has no whole record at its byte {at}")
    keyword, value = data[space + 1 : equals], data[equals + 1 : end - 1]
    if keyword in _TEXTS and b"\0" in value:
        raise ValueError(f"a NUL stands in the {keyword.decode()}")
    return keyword, value, end


def to_decimal(digits: bytes, limit: int = SIZE_LIMIT) -> int:
    """A number from 0 to `limit`; raises ValueError."""
    if digits.isdigit() and len(digits) <= _NUMBER_DIGITS:
        number = int(digits)
        if number <= limit:
            return number
    raise ValueError(f"{digits[:30]!r} is no number that can stand here")


def to_time(value: bytes) -> int:
    """Nanoseconds of a decimal number of seconds; further digits are cut. Raises ValueError."""
    whole, _, fraction = value.partition(b".")
    is_negative = whole.startswith(b"-")
    if is_negative:
        whole = whole[1:]
    if not whole or not (whole + fraction).isdigit() or len(whole) > _NUMBER_DIGITS:
        raise ValueError(f"{value[:30]!r} is no time")
    number = int(whole + fraction[:9].ljust(9, b"0"))
    if number > SIZE_LIMIT * _BILLION:
        raise ValueError(f"the time {value[:30]!r} is out of range")
    return -number if is_negative else number


def xattrs(values: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """The extended attributes in `values`: star's spelling before libarchive's. Raises ValueError."""
    found: dict[bytes, bytes] = {}
    for keyword, value in values.items():
        if keyword.startswith(_XATTR):
            found[_xattr_name(keyword, _XATTR)] = value
    for keyword, value in values.items():
        if keyword.startswith(_ENCODED_XATTR):
            found.setdefault(_xattr_name(keyword, _ENCODED_XATTR), _from_base64(value))
    if context := values.get(b"RHT.security.selinux"):
        found.setdefault(b"security.selinux", context)
    return tuple(found.items())


def _xattr_name(keyword: bytes, prefix: bytes) -> bytes:
    # GNU tar writes '%' and '=' as %25 and %3D, libarchive also what is not printable.
    name = unquote_to_bytes(keyword[len(prefix) :])
    if not name or b"\0" in name:
        raise ValueError(f"{name[:255]!r} is no name of an extended attribute")
    return name


def _from_base64(value: bytes) -> bytes:
    try:
        return a2b_base64(value + b"=" * (-len(value) % 4))  # libarchive leaves the padding out
    except ValueError as error:
        raise ValueError(f"the value of an extended attribute is not base64: {error}") from error
