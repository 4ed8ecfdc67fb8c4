"""What GNU tar, bsdtar and Python's tarfile write is read as it was on the disk."""

from __future__ import annotations

import io
import os
import shutil
import stat
import struct
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings

from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY, FIFO, HARD_LINK, REGULAR, SYMLINK
from async_backup.archive.tar import Buffer, TarMember, TarReader
from tests.tar_blocks import read_all
from tests.trees import IS_ROOT, SECOND, Attributes, Directory, File, Link, Special, Symlink, build, snapshot, trees

if TYPE_CHECKING:
    from pathlib import Path

    from tests.trees import Node, Seen

KINDS = {
    REGULAR: stat.S_IFREG,
    SYMLINK: stat.S_IFLNK,
    DIRECTORY: stat.S_IFDIR,
    FIFO: stat.S_IFIFO,
    CHARACTER: stat.S_IFCHR,
    BLOCK: stat.S_IFBLK,
}
gnu_sparse_formats = pytest.mark.parametrize(
    "options",
    [
        ("--format=oldgnu",),
        ("--format=gnu",),
        ("--format=pax", "--sparse-version=0.0"),
        ("--format=pax", "--sparse-version=0.1"),
        ("--format=pax", "--sparse-version=1.0"),
    ],
    ids=" ".join,
)


def packed(tool: str, parent: Path, *options: str, binary_is_fine: bool = False) -> bytes:
    """The archive of `top` in `parent`; with `binary_is_fine` bsdtar may complain of a name that is not UTF-8."""
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} on this machine")
    command = [tool, "-c", "-f", "-", *options, "-C", str(parent), "top"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, check=not binary_is_fine, env=environment).stdout


def contents(archive: bytes) -> list[tuple[TarMember, bytes]]:
    """All members with the content that the file had, holes and all; a hard link with that of its target."""
    files: dict[bytes, bytes] = {}
    found = []
    for member, payload in read_all(archive):
        files[member.path] = files[member.link] if member.type == HARD_LINK else expanded(member, payload)
        found.append((member, files[member.path]))
    return found


def expanded(member: TarMember, payload: bytes) -> bytes:
    if member.sparse is None:
        return payload
    content, at = bytearray(member.sparse.real_size), 0
    for offset, length in member.sparse.extents:
        content[offset : offset + length] = payload[at : at + length]
        at += length
    return bytes(content)


def assert_read_as_on_disk(archive: bytes, parent: Path, *, second: int = 1) -> None:
    """Times are compared in units of `second` nanoseconds."""
    on_disk = snapshot(parent, b"top")
    found = contents(archive)
    assert {member.path for member, _ in found} == {
        path for path, seen in on_disk.items() if seen.kind != stat.S_IFSOCK
    }
    for member, content in found:
        seen = on_disk[member.path]
        assert described(member, content, second) == expected(member, seen, second)


def described(member: TarMember, content: bytes, second: int) -> tuple[object, ...]:
    kind = stat.S_IFREG if member.type == HARD_LINK else KINDS[member.type]
    link = member.link if member.type == SYMLINK else b""
    owner = (member.mode, member.uid, member.gid)
    return kind, owner, member.mtime_ns // second, content, link, member.rdev


def expected(member: TarMember, seen: Seen, second: int) -> tuple[object, ...]:
    assert member.type != HARD_LINK or member.link in seen.names
    owner = (seen.mode, seen.uid, seen.gid)
    return seen.kind, owner, seen.mtime_ns // second, seen.content, seen.link, seen.device


def plain_tree() -> Directory:
    """What v7 can hold; as root with devices where `with_devices` adds them."""
    children: dict[bytes, Node] = {
        b"file": File(3000, seed=1),
        b"empty": File(attributes=Attributes(mode=0o7777)),
        b"hard link": Link(0),
        b"symlink": Symlink(b"../outside"),
        b"n\xc3\xa4me \xff\n": File(512),
        b"d": Directory({b"d" * 50: Directory({b"f": File(1)})}, Attributes(mode=0o1755)),
    }
    return Directory(children)


def special_tree() -> Directory:
    nodes: dict[bytes, Node] = {b"fifo": Special(stat.S_IFIFO)}
    if IS_ROOT:
        nodes[b"tty"] = Special(stat.S_IFCHR, os.makedev(4, 65), Attributes(uid=1234, gid=2345))
        nodes[b"disk"] = Special(stat.S_IFBLK, os.makedev(8, 300))
    return Directory({**plain_tree().children, **nodes})


@pytest.mark.parametrize("form", ["v7", "ustar", "oldgnu", "gnu", "pax"])
def test_a_plain_tree_in_each_format_of_gnu_tar(tmp_path: Path, form: str) -> None:
    build(tmp_path, b"top", plain_tree() if form == "v7" else special_tree())
    assert_read_as_on_disk(packed("tar", tmp_path, f"--format={form}"), tmp_path)


@pytest.mark.parametrize("form", ["v7", "ustar", "gnutar", "pax"])
def test_a_plain_tree_in_each_format_of_bsdtar(tmp_path: Path, form: str) -> None:
    build(tmp_path, b"top", plain_tree() if form == "v7" else special_tree())
    assert_read_as_on_disk(packed("bsdtar", tmp_path, f"--format={form}"), tmp_path)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_plain_tree_in_each_format_of_tarfile(tmp_path: Path, form: int) -> None:
    build(tmp_path, b"top", special_tree())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        tar.add(tmp_path / "top", "top")
    assert_read_as_on_disk(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize(
    ("options", "second"),
    [
        (("--format=gnu",), SECOND),
        (("--format=oldgnu",), SECOND),
        (("--format=pax",), 1),
        (("--format=gnu", "--sparse"), SECOND),
        (("--format=pax", "--sparse"), 1),
    ],
    ids=str,
)
@settings(max_examples=15)
@given(tree=trees())
@example(tree=Directory({b"\xff" * 255: Directory({b"\xff" * 255: File(100_000)}), b"l": Symlink(b"l" * 4095)}))
def test_any_tree(
    tmp_path_factory: pytest.TempPathFactory, options: tuple[str, ...], second: int, tree: Directory
) -> None:
    parent = tmp_path_factory.mktemp("tree")
    build(parent, b"top", tree)
    try:
        assert_read_as_on_disk(packed("tar", parent, *options), parent, second=second)
    finally:
        shutil.rmtree(parent)


def test_a_tree_of_bsdtar_with_all_that_ustar_cannot_hold(tmp_path: Path) -> None:
    attributes = Attributes(uid=1 << 31 if IS_ROOT else 0, mtime_ns=1_234_567_890_123_456_789)
    deep = Directory({b"\xff" * 255: Directory({b"\xc3\xa4" * 100: File(100_000, attributes=attributes)})})
    build(tmp_path, b"top", Directory({b"d" * 200: deep, b"l": Symlink(b"l" * 4000), b"hard": Link(0)}))
    assert_read_as_on_disk(packed("bsdtar", tmp_path, "--format=pax", binary_is_fine=True), tmp_path)


@gnu_sparse_formats
@pytest.mark.parametrize("extents", [0, 1, 4, 5, 26, 60])
def test_a_sparse_file_in_each_format_of_gnu_tar(tmp_path: Path, options: tuple[str, ...], extents: int) -> None:
    make_sparse(tmp_path, extents)
    archive = packed("tar", tmp_path, "-S", *options)
    [(member, content)] = contents(archive)
    assert member.sparse is not None
    assert (member.sparse.real_size, len(member.sparse.extents) >= extents) == (len(content), True)
    assert (member.path, content) == (b"top", (tmp_path / "top").read_bytes())


def test_a_sparse_file_of_bsdtar(tmp_path: Path) -> None:
    make_sparse(tmp_path, 5)
    [(member, content)] = contents(packed("bsdtar", tmp_path, "--format=pax"))
    assert (member.path, content) == (b"top", (tmp_path / "top").read_bytes())


def make_sparse(parent: Path, extents: int) -> None:
    with (parent / "top").open("wb") as file:
        for number in range(extents):
            file.seek(number * 64 << 10)
            file.write(bytes([number + 1]) * 4096)
        file.truncate((extents * 64 << 10) + 40_000)


def test_a_size_that_only_gnu_tars_binary_numbers_hold(tmp_path: Path) -> None:
    with (tmp_path / "top").open("wb") as file:
        file.truncate(9 << 30)
    command = ["tar", "-c", "-f", "-", "--format=gnu", "-C", str(tmp_path), "top"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:
        assert tar.stdout is not None
        head = tar.stdout.read(512)
        tar.stdout.close()
    member = TarReader(Buffer(head)).next()
    assert member is not None
    assert member.size == 9 << 30


@pytest.mark.parametrize("tool", ["tar", "bsdtar"])
def test_extended_attributes_and_access_lists(tmp_path: Path, tool: str) -> None:
    make_attributes(tmp_path / "top")
    [(directory, _), (file, _)] = contents(packed(tool, tmp_path, "--format=pax", "--xattrs", "--acls"))
    user = {name: value for name, value in file.xattrs if name.startswith(b"user.")}
    assert user == {b"user.plain": b"value", b"user.b=i%n \xc3\xa4": bytes(range(256)), b"user.empty": b""}
    assert (b"user:1234:r--" in numeric(file.acl_access), file.acl_default) == (True, b"")
    assert b"user:1234:r--" in numeric(directory.acl_default)


def numeric(acl: bytes) -> bytes:
    """bsdtar repeats the number of a user at the end of the entry."""
    return acl.replace(b":1234:r--:1234", b":1234:r--")


def make_attributes(top: Path) -> None:
    top.mkdir()
    (top / "file").touch()
    tags = ((1, 6, 0xFFFFFFFF), (2, 4, 1234), (4, 4, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *tag) for tag in tags)
    try:
        for name, value in ((b"plain", b"value"), (b"b=i%n \xc3\xa4", bytes(range(256))), (b"empty", b"")):
            os.setxattr(top / "file", b"user." + name, value)
        os.setxattr(top / "file", "system.posix_acl_access", acl)
        os.setxattr(top, "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"the file system has no extended attributes: {error}")
