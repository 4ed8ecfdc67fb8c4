"""Extended headers: what they say counts, in the order that POSIX gives, and nonsense in them is damage."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.header import padding
from async_backup.archive.member import SYMLINK
from async_backup.archive.tar import DamagedTar
from tests.tar_blocks import block, helper, only, pax, read_all, record
from tests.trees import SECOND


@pytest.mark.parametrize(
    ("text", "mtime_ns"),
    [
        (b"1.5", 1_500_000_000),
        (b"1700000000.123456789", 1_700_000_000_123_456_789),
        (b"1700000000.1234567899999", 1_700_000_000_123_456_789),
        (b"-0.000000001", -1),
        (b"-5.25", -5_250_000_000),
        (b"7", 7 * SECOND),
        (b"9.", 9 * SECOND),
        (b"99999999999", 99_999_999_999 * SECOND),
    ],
)
@pytest.mark.parametrize("others", [(), ((b"atime", b"5.5"),)])
def test_a_time_is_read_to_the_nanosecond(text: bytes, mtime_ns: int, others: tuple[tuple[bytes, bytes], ...]) -> None:
    assert only(pax((b"mtime", text), *others) + block(mtime=b"1")).mtime_ns == mtime_ns


@pytest.mark.parametrize("text", [b"x", b".5", b"1.x", b"1.123456789x", b"1e5", b"--1", b"1.-5", b" 1", b"1" * 5000])
def test_what_is_no_time_is_damage(text: bytes) -> None:
    with pytest.raises(DamagedTar):
        only(pax((b"mtime", text)) + block())


def test_records_come_before_long_names_and_those_before_the_fields() -> None:
    long_names = helper(b"L", b"long\0") + helper(b"K", b"long link\0")
    records = pax((b"path", b"pax"), (b"linkpath", b"pax link"), (b"uname", b"u"), (b"gname", b"g"), (b"uid", b"9"))
    fields = block(kind=SYMLINK, link=b"field")
    found = [only(before + fields) for before in (b"", long_names, records + long_names)]
    assert [(member.path, member.link) for member in found] == [
        (b"x", b"field"),
        (b"long", b"long link"),
        (b"pax", b"pax link"),
    ]
    assert (found[2].user, found[2].group, found[2].uid) == (b"u", b"g", 9)


def test_a_global_header_holds_for_all_that_do_not_say_otherwise() -> None:
    archive = pax((b"mtime", b"7.5"), (b"uid", b"7"), kind=b"g") + block(b"a") + pax((b"uid", b"8")) + block(b"b")
    assert [(member.uid, member.mtime_ns / SECOND) for member, _ in read_all(archive)] == [(7, 7.5), (8, 7.5)]


def test_an_empty_value_leaves_the_field_as_it_is() -> None:
    member = only(pax((b"path", b""), (b"uid", b""), (b"mtime", b"")) + block(uid=b"5", mtime=b"6"))
    assert (member.path, member.uid, member.mtime_ns) == (b"x", 5, 6 * SECOND)


def test_a_size_in_a_record_counts() -> None:
    [(member, data), _] = read_all(pax((b"size", b"3")) + block() + b"abc" + padding(3) + block())
    assert (member.size, data) == (3, b"abc")


@given(value=st.binary(max_size=300), name=st.sampled_from([b"user.a", b"user.a=b", b"user.100%", b"security.ima"]))
def test_an_extended_attribute_may_hold_any_bytes(value: bytes, name: bytes) -> None:
    keyword = b"SCHILY.xattr." + name.replace(b"%", b"%25").replace(b"=", b"%3D")
    assert only(pax((keyword, value), (b"mtime", b"1.5")) + block()).xattrs == ((name, value),)


def test_extended_attributes_of_star_come_before_those_of_libarchive() -> None:
    encoded = [(b"LIBARCHIVE.xattr.user." + name, b64encode(name).rstrip(b"=")) for name in (b"a", b"b")]
    member = only(pax(*encoded, (b"SCHILY.xattr.user.a", b"star's"), (b"RHT.security.selinux", b"c:r:t")) + block())
    assert dict(member.xattrs) == {b"user.a": b"star's", b"user.b": b"b", b"security.selinux": b"c:r:t"}


def test_access_lists_are_given_as_they_stand() -> None:
    member = only(pax((b"SCHILY.acl.access", b"user::rw-"), (b"SCHILY.acl.default", b"user::r--")) + block())
    assert (member.acl_access, member.acl_default) == (b"user::rw-", b"user::r--")


@pytest.mark.parametrize(
    "records",
    [
        b"5 mtime=5\n",
        b"99 mtime=5\n",
        b"0 mtime=5\n",
        b"-11 mtime=5\n",
        b"11 mtime=5.",
        b"11mtime=55\n",
        b"4 a=\n",
        b"6 abc\n",
        b"99999999999999999999 a=b\n",
        b"garbage",
        b"\0" * 20,
        record(b"path", b"a\0b"),
        record(b"linkpath", b"\0"),
        record(b"size", b"-1"),
        record(b"size", b"9" * 19),
        record(b"size", b"9" * 5000),
        record(b"uid", b"4294967296"),
        record(b"uid", b"0x10"),
        record(b"SCHILY.xattr.", b""),
        record(b"SCHILY.xattr.a%00b", b""),
        record(b"LIBARCHIVE.xattr.user.a", b"A"),
    ],
)
@pytest.mark.parametrize("before", [b"", record(b"mtime", b"5")])
def test_records_that_are_not_well_formed_are_damage(records: bytes, before: bytes) -> None:
    with pytest.raises(DamagedTar, match="at byte 0: "):
        only(helper(b"x", before + records) + block())


def test_a_nul_inside_a_long_name_is_damage() -> None:
    with pytest.raises(DamagedTar, match="NUL"):
        only(helper(b"L", b"a\0b\0") + block())
