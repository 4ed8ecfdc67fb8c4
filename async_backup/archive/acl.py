"""POSIX ACLs between the binary form of Linux (`system.posix_acl_*`) and the text that stands in tar archives.

The text is written with numbers for users and groups, a line each: of what was tried, GNU tar 1.34 and bsdtar 3.6.2
restore lines as well as commas, and numbers whether or not the system knows them.
"""

from __future__ import annotations

import grp
import os
import pwd
import struct

_HEAD = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_VERSION = 2
_USER, _GROUP = 2, 8
_NAMED = (_USER, _GROUP)
_WORDS = {1: b"user", _USER: b"user", 4: b"group", _GROUP: b"group", 16: b"mask", 32: b"other"}
_OWNERS = {b"user": 1, b"u": 1, b"group": 4, b"g": 4, b"mask": 16, b"m": 16, b"other": 32, b"o": 32}
"""The tag of an entry without a name; a name doubles a user's or a group's."""
_NOBODY = 0xFFFFFFFF
_PERMISSIONS = (b"---", b"--x", b"-w-", b"-wx", b"r--", b"r-x", b"rw-", b"rwx")
_BITS = {ord("r"): 4, ord("w"): 2, ord("x"): 1, ord("-"): 0}


def to_text(binary: bytes) -> bytes:
    """`user::rw-`, `user:1000:r--` and so on, a line each; raises ValueError where `binary` is no ACL."""
    if len(binary) < _HEAD.size or (len(binary) - _HEAD.size) % _ENTRY.size:
        raise ValueError("an ACL of this length is not known")
    if _HEAD.unpack_from(binary)[0] != _VERSION:
        raise ValueError("an ACL of this version is not known")
    return b"".join(_line(*entry) for entry in _ENTRY.iter_unpack(binary[_HEAD.size :]))


def _line(tag: int, permissions: int, number: int) -> bytes:
    if tag not in _WORDS or permissions > 7:
        raise ValueError("the ACL has an entry that is not known")
    name = b"%d" % number if tag in _NAMED else b""
    return b"%b:%b:%b\n" % (_WORDS[tag], name, _PERMISSIONS[permissions])


def from_text(text: bytes) -> bytes:
    """The binary form, in the order of the kernel, of what GNU tar, bsdtar or star wrote.

    Entries end with a line or a comma. Names are looked up; one that is not known needs a number as fourth field.
    Raises ValueError.
    """
    parts = [part.partition(b"#")[0].strip() for part in text.replace(b",", b"\n").split(b"\n")]
    entries = sorted({_entry(part) for part in parts if part})
    if not entries:
        raise ValueError("the ACL has no entries")
    packed = (_ENTRY.pack(tag, permissions, number) for tag, number, permissions in entries)
    return _HEAD.pack(_VERSION) + b"".join(packed)


def _entry(text: bytes) -> tuple[int, int, int]:
    """Tag, number and permissions."""
    word, *fields = (field.strip() for field in text.split(b":"))
    tag = _OWNERS.get(word)
    if tag is not None and len(fields) == 1 and tag > _GROUP:
        fields.insert(0, b"")  # `mask:rwx` and `other:r--`, as Solaris and old versions of star wrote them
    if tag is None or not 2 <= len(fields) <= 3:
        raise ValueError(f"{text[:80]!r} is no entry of an ACL")
    name, permissions = fields[0], _bits(fields[1])
    if not name:
        return tag, _NOBODY, permissions
    if tag > _GROUP:
        raise ValueError(f"{text[:80]!r} names somebody where nobody can be named")
    return tag * 2, _number(name, fields[2] if len(fields) == 3 else b"", is_user=tag * 2 == _USER), permissions


def _bits(letters: bytes) -> int:
    try:
        each = [_BITS[letter] for letter in letters]
    except KeyError as error:
        raise ValueError(f"{letters[:80]!r} are no permissions of an ACL") from error
    if len(letters) > 3 or sum(each) > 7:
        raise ValueError(f"{letters[:80]!r} are no permissions of an ACL")
    return sum(each)


def _number(name: bytes, spare: bytes, *, is_user: bool) -> int:
    if _is_number(name):
        return int(name)
    known = _known(name, is_user=is_user)
    if known is not None:
        return known
    if _is_number(spare):
        return int(spare)
    raise ValueError(f"{name[:80]!r} is nobody that this system knows")


def _is_number(digits: bytes) -> bool:
    return digits.isdigit() and len(digits) <= 10 and int(digits) < _NOBODY


def _known(name: bytes, *, is_user: bool) -> int | None:
    try:
        return pwd.getpwnam(os.fsdecode(name)).pw_uid if is_user else grp.getgrnam(os.fsdecode(name)).gr_gid
    except (KeyError, ValueError):
        return None
