"""ACLs as text: what is written, and what others write, down to the bytes that the kernel takes."""

from __future__ import annotations

import grp
import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.acl import from_text, to_text
from tests.everything import GROUP, GROUP_OBJ, MASK, OTHER, USER, USER_OBJ, acl

TEXT = b"user::rw-\nuser:1000:r--\ngroup::r--\ngroup:1234:rwx\nmask::rwx\nother::---\n"
BINARY = acl((USER_OBJ, 6), (USER, 4, 1000), (GROUP_OBJ, 4), (GROUP, 7, 1234), (MASK, 7), (OTHER, 0))


def acls() -> st.SearchStrategy[bytes]:
    """In the order of the kernel: by tag, and by number."""
    permissions, ids = st.integers(0, 7), st.integers(0, 2**32 - 2)
    named = st.dictionaries(st.tuples(st.sampled_from([USER, GROUP]), ids), permissions, max_size=8)

    def sorted_entries(others: tuple[int, int, int, int], some: dict[tuple[int, int], int]) -> bytes:
        entries: list[tuple[int, int, int]] = [(tag, bits, number) for (tag, number), bits in some.items()]
        owners = [(tag, bits, 2**32 - 1) for tag, bits in zip((USER_OBJ, GROUP_OBJ, MASK, OTHER), others, strict=True)]
        return acl(*sorted([*entries, *owners], key=lambda entry: (entry[0], entry[2])))

    return st.builds(sorted_entries, st.tuples(*[permissions] * 4), named)


def test_the_text_is_a_line_each_with_numbers() -> None:
    assert to_text(BINARY) == TEXT


@given(acls())
def test_any_acl_comes_back_from_its_text(binary: bytes) -> None:
    assert from_text(to_text(binary)) == binary


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(b"\n", b","),
        TEXT.strip().replace(b"\n", b", "),
        b"other::---,mask::rwx,group::r--,group:1234:rwx,user:1000:r--,user::rw-",
        b"u::rw,u:1000:r,g::r,g:1234:rwx,m::rwx,o::",
        b"user::rw-,user:1000:r--:1000,group::r--,group:nobody knows:rwx:1234,mask:rwx,other:---",
        TEXT.replace(b":r--\ngroup::", b":r--\t#effective:r--\ngroup::") + b"\n# a comment\n",
    ],
    ids=["commas", "blanks", "any order", "short", "numbers as fourth field", "comments"],
)
def test_what_others_write_is_the_same(text: bytes) -> None:
    assert from_text(text) == BINARY


def test_names_are_looked_up_before_the_number_beside_them() -> None:
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    text = f"user:{user.pw_name}:rwx:77777,group:{group.gr_name}:r-x".encode()
    assert from_text(text) == acl((USER, 7, user.pw_uid), (GROUP, 5, group.gr_gid))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n,#\n",
        b"user",
        b"user:1000",
        b"user:nobody knows:rwx",
        b"user:4294967295:rwx",
        b"user::rwxr",
        b"user::rr",
        b"user::rwz",
        b"user:1:rwx:1:1",
        b"mask:1000:rwx",
        b"everyone@:rwx",
        b"\xff\0",
    ],
)
def test_anything_else_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"ACL|nobody|named"):
        from_text(text)


@given(st.binary(max_size=40))
def test_any_text_is_an_acl_or_a_value_error(text: bytes) -> None:
    try:
        binary = from_text(text)
    except ValueError:
        return
    assert from_text(to_text(binary)) == binary


@pytest.mark.parametrize("binary", [b"", BINARY[:-1], b"\x03" + BINARY[1:], acl((3, 7)), acl((USER_OBJ, 8))])
def test_what_is_no_acl_has_no_text(binary: bytes) -> None:
    with pytest.raises(ValueError, match="ACL"):
        to_text(binary)
