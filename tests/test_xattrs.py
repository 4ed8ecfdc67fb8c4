"""Extended attributes: in order, byte for byte, bounded, and never a reason to lose a file's content."""

from __future__ import annotations

import errno
import os
import tempfile
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.archive import xattrs
from async_backup.archive.content import FREE_XATTRS
from async_backup.archive.member import Problem, ProblemKind
from async_backup.archive.pack import GROWTH, pack
from async_backup.archive.xattrs import NO_XATTRS, xattrs_by_name, xattrs_of
from async_backup.slots import slot_size
from tests.archives import make_archive, plan
from tests.everything import ACCESS, acl, set_xattr
from tests.test_fidelity import GNU_TAR_WITH_ALL
from tests.test_tars import run
from tests.trees import IS_ROOT, SEGMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.archives import Archive

pytestmark = pytest.mark.skipif(not xattrs.ARE_SUPPORTED, reason="no extended attributes on this system")

ENTRY = b"entry"


@pytest.fixture
def roomy() -> Iterator[Path]:
    """A directory where attributes may be long: tmpfs; ext4 keeps 4 KiB a file."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
        probe = Path(directory, "probe")
        probe.touch()
        try:
            os.setxattr(probe, "user.probe", bytes(60_000))
        except OSError:
            pytest.skip("no file system for long attributes")
        probe.unlink()
        yield Path(directory)


def with_attributes(path: Path, attributes: dict[bytes, bytes]) -> Path:
    path.touch()
    for name, value in attributes.items():
        if not set_xattr(path, name, value):
            pytest.skip("no extended attributes on this file system")
    return path


def records(path: Path, limit: int = 1 << 20) -> xattrs.Xattrs:
    with path.open("rb") as file:
        return xattrs_of(file.fileno(), limit)


def attributes_in(path: Path) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.getxattr(path, name) for name in os.listxattr(path)}


def comes_back(archive: Archive) -> dict[bytes, bytes]:
    out = archive.path.parent / "out"
    out.mkdir()
    run(GNU_TAR_WITH_ALL, archive.path, out)
    return attributes_in(out / "entry")


def test_they_are_sorted_by_name_and_acls_are_text(tmp_path: Path) -> None:
    path = with_attributes(tmp_path / "x", {b"user.b": b"2\n", b"user.a": b"\0"})
    if not set_xattr(path, ACCESS, acl((1, 6), (2, 4, 7), (4, 4), (16, 4), (32, 0))):
        pytest.skip("no ACLs on this file system")
    text = b"user::rw-\nuser:7:r--\ngroup::r--\nmask::r--\nother::---\n"
    expected = b"75 SCHILY.acl.access=" + text + b"\n25 SCHILY.xattr.user.a=\0\n26 SCHILY.xattr.user.b=2\n\n"
    assert records(path) == (expected, "")


def test_a_file_without_any_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert records(tmp_path / "x") == NO_XATTRS


def xattr_names() -> st.SearchStrategy[bytes]:
    drawn = st.one_of(st.binary(min_size=1, max_size=60), st.text("a=%3D25", min_size=1, max_size=20).map(str.encode))
    return drawn.map(lambda name: b"user." + name.replace(b"\0", b"0"))


@settings(max_examples=40)
@given(attributes=st.dictionaries(xattr_names(), st.binary(max_size=300), max_size=4))
def test_any_attributes_come_back(roomy: Path, attributes: dict[bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory(dir=roomy) as directory:
        with_attributes(Path(directory, "entry"), attributes)
        archive = make_archive(Path(directory), ENTRY, Path(directory, "a.tar.gz"))
        assert archive.problems == []
        assert comes_back(archive) == attributes


@pytest.mark.parametrize("kind", ["file", "large file", "directory"])
def test_what_does_not_fit_into_the_segment_is_named_and_the_rest_is_stored(roomy: Path, kind: str) -> None:
    path = roomy / "entry"
    path.mkdir() if kind == "directory" else path.write_bytes(b"x" * (SEGMENT if kind == "large file" else 10))
    os.setxattr(path, "user.long", bytes(60_000))
    os.setxattr(path, "user.short", b"kept")
    archive = make_archive(roomy, ENTRY, roomy / "a.tar.gz")
    reason = "its extended attributes could not be read: user.long: its 60030 bytes do not fit into the segment"
    assert archive.problems == [Problem(ENTRY, ProblemKind.XATTRS, reason)]
    assert comes_back(archive) == {b"user.short": b"kept"}
    assert ProblemKind.XATTRS.is_loss


def test_the_longest_of_a_default_segment_is_stored(roomy: Path) -> None:
    with_attributes(roomy / "entry", {b"user.long": Random(1).randbytes(60_000)})
    archive = make_archive(roomy, ENTRY, roomy / "a.tar.gz", segment_size=4 << 20)
    assert (archive.problems, comes_back(archive)) == ([], attributes_in(roomy / "entry"))


@pytest.mark.parametrize("level", [0, 1, 3, 6])
@pytest.mark.parametrize(("size", "length"), [(0, 900), (100, 900), (0, 3000), (1500, 900)])
def test_whatever_small_files_carry_their_segment_keeps_within_its_slot(
    roomy: Path, size: int, length: int, level: int
) -> None:
    random = Random(size)
    (roomy / "entry").mkdir()
    for number in range(60):
        path = roomy / "entry" / f"{number}"
        path.write_bytes(random.randbytes(size))
        os.setxattr(path, "user.x", random.randbytes(length))
    jobs, _ = plan(roomy, ENTRY)
    packed = [pack(bytes(roomy), job, segment_size=SEGMENT, level=level) for job in jobs]
    assert max(len(part.data) for part in packed) <= SEGMENT + SEGMENT // GROWTH + SEGMENT // 256
    assert max(len(part.data) for part in packed) <= slot_size(SEGMENT)
    assert any(part.problems for part in packed) is (length > FREE_XATTRS)


def failing(number: int, *_: object, **__: object) -> list[str]:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODATA])
def test_where_there_are_none_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "entry").write_bytes(b"content")
    monkeypatch.setattr(os, "listxattr", partial(failing, number))
    assert make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz").problems == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.E2BIG, errno.ERANGE, errno.EIO])
def test_where_they_cannot_be_listed_that_is_said_and_the_content_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "entry").write_bytes(b"content")
    monkeypatch.setattr(os, "listxattr", partial(failing, number))
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    reason = f"its extended attributes could not be read: {os.strerror(number)}"
    assert archive.problems == [Problem(ENTRY, ProblemKind.XATTRS, reason)]
    assert [member.size for _, member in archive.members()] == [7]


def test_one_that_cannot_be_read_is_named_one_that_vanished_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_attributes(tmp_path / "x", {b"user.a": b"1", b"user.b": b"2", b"user.c": b"3"})

    def get(target: int, name: bytes) -> bytes:
        if name != b"user.c":
            failing(errno.ENODATA if name == b"user.a" else errno.EACCES)
        return b"3"

    monkeypatch.setattr(os, "getxattr", get)
    reason = "its extended attributes could not be read: user.b: Permission denied"
    assert records(path) == (b"25 SCHILY.xattr.user.c=3\n", reason)


def by_name(root: Path, name: bytes) -> xattrs.Xattrs:
    directory = os.open(root, os.O_RDONLY)
    try:
        return xattrs_by_name(name, directory, 1 << 20)
    finally:
        os.close(directory)


@pytest.mark.skipif(not IS_ROOT, reason="only root can set an attribute of a symbolic link")
def test_a_symbolic_link_shows_its_own_and_not_those_of_its_target(tmp_path: Path) -> None:
    with_attributes(tmp_path / "target", {b"user.target": b"x"})
    (tmp_path / "link").symlink_to("target")
    os.setxattr(tmp_path / "link", "trusted.link", b"y", follow_symlinks=False)
    assert by_name(tmp_path, b"link") == (b"31 SCHILY.xattr.trusted.link=y\n", "")


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EPERM, errno.EOPNOTSUPP])
def test_what_cannot_be_asked_by_name_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "link").symlink_to("target")
    monkeypatch.setattr(os, "listxattr", partial(failing, number))
    assert by_name(tmp_path, b"link") == NO_XATTRS


def test_of_several_names_the_first_one_carries_them(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    first = with_attributes(tmp_path / "entry" / "a", {b"user.x": b"1"})
    (tmp_path / "entry" / "b").hardlink_to(first)
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    out = tmp_path / "out"
    out.mkdir()
    run(GNU_TAR_WITH_ALL, archive.path, out)
    assert attributes_in(out / "entry" / "b") == {b"user.x": b"1"}
    assert (out / "entry/a").stat().st_nlink == 2


def test_a_change_of_attributes_under_the_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_attributes(tmp_path / "entry", {b"user.x": b"before"})
    pread = os.pread

    def change_and_read(descriptor: int, length: int, offset: int) -> bytes:
        if os.getxattr(path, "user.x") == b"before":
            os.setxattr(path, "user.x", b"after")
        return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", change_and_read)
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz")
    assert (archive.problems, comes_back(archive)) == ([], {b"user.x": b"after"})
