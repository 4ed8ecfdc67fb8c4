"""One tree with a file of every kind that an archive has to keep whole, as far as system and account allow."""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import TYPE_CHECKING

from tests.trees import IS_ROOT, SEGMENT

if TYPE_CHECKING:
    from pathlib import Path

ANYBODY = 0xFFFFFFFF
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
"""`cap_net_bind_service=ep`, as the kernel keeps it."""

_SECOND = 1_000_000_000
_HARMLESS = {errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL}
_HOLE = 64 << 10


def build_everything(root: Path) -> None:
    """Fill the empty directory `root`; what the file system or the account does not support is left out.

    One file has 8 GiB, nearly all of it a hole: compare contents by `data_of`.
    """
    _plain(root / "plain")
    _names(root / "names")
    _links(root / "links")
    _holes(root / "holes")
    _attributes(root / "attributes")
    _acls(root / "acls")
    _modes_and_owners(root / "modes")
    _specials(root / "specials")
    _directories(root / "directories")
    _times(root)


def acl(*entries: tuple[int, int] | tuple[int, int, int]) -> bytes:
    """The binary form of entries of tag, permissions and, for somebody named, the number."""
    packed = (struct.pack("<HHI", entry[0], entry[1], entry[2] if len(entry) == 3 else ANYBODY) for entry in entries)
    return struct.pack("<I", 2) + b"".join(packed)


def write_with_holes(path: Path, size: int, *data: tuple[int, bytes]) -> None:
    """A file of `size` bytes that has `data` at their offsets and holes elsewhere."""
    with path.open("wb") as file:
        for offset, content in data:
            file.seek(offset)
            file.write(content)
        file.truncate(size)


def set_xattr(path: Path, name: str | bytes, value: bytes) -> bool:
    """Whether the attribute could be set; on the path itself if it is a symbolic link."""
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _HARMLESS:
            raise
        return False
    return True


def data_of(path: Path) -> tuple[int, dict[int, bytes]]:
    """The size of a file and its blocks of 4 KiB that are not zero, by offset; holes are not read."""
    blocks = {}
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        offset = 0
        while (offset := _next_data(file.fileno(), offset, size)) < size:
            block = os.pread(file.fileno(), 4096, offset)
            if block.strip(b"\0"):
                blocks[offset] = block
            offset += 4096
    return size, blocks


def _next_data(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA) // 4096 * 4096 if offset < size else size
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size


def _plain(directory: Path) -> None:
    directory.mkdir()
    (directory / "empty").touch()
    for size in (1, 511, 512, 513, 5000):
        (directory / f"{size} bytes").write_bytes(os.urandom(size))
    (directory / "a segment").write_bytes(os.urandom(SEGMENT))
    (directory / "large").write_bytes(os.urandom(3 * SEGMENT + 100))


def _names(directory: Path) -> None:
    directory.mkdir()
    names = (b"n" * 255, b"\xff\xfe", b"\xff" * 255, "é".encode(), "é".encode() * 120, b"new\nline", b" -rf \\ $(id)")
    for name in names:
        with open(os.path.join(os.fsencode(directory), name), "wb") as file:
            file.write(name)


def _links(directory: Path) -> None:
    directory.mkdir()
    for name, size in (("small", 100), ("large", SEGMENT + 1)):
        (directory / name).write_bytes(os.urandom(size))
        (directory / f"another name of {name}").hardlink_to(directory / name)
    set_xattr(directory / "small", "user.both", b"names")
    (directory / "relative").symlink_to("small")
    (directory / "dangling").symlink_to("/nowhere/\udcff" + "l" * 200)
    if IS_ROOT:
        set_xattr(directory / "relative", "trusted.link", b"of the link itself")


def _holes(directory: Path) -> None:
    directory.mkdir()
    block = b"data" * 1024
    write_with_holes(directory / "between", 2 * _HOLE, (0, block), (_HOLE, block))
    write_with_holes(directory / "at the end", _HOLE, (0, block))
    write_with_holes(directory / "at the start", _HOLE + 4096 - 7, (_HOLE, block[:-7]))
    write_with_holes(directory / "nothing else", _HOLE)
    write_with_holes(directory / "nothing else, large", 100 * SEGMENT)
    pieces = [(number * 10 * SEGMENT, os.urandom(4096 * (number + 1))) for number in range(40)]
    write_with_holes(directory / "large", 1 << 33, *pieces[:10])
    write_with_holes(directory / "large with data at its end", pieces[-1][0] + len(pieces[-1][1]), *pieces)
    write_with_holes(directory / "é", _HOLE, (0, block))
    write_with_holes(directory / ("l" * 200), _HOLE, (0, block))
    write_with_holes(directory / "\udcff", _HOLE, (0, block))
    write_with_holes(directory / ("\udcff" * 200), 100 * SEGMENT, (SEGMENT, block))
    (directory / "another name").hardlink_to(directory / "large")


def _attributes(directory: Path) -> None:
    directory.mkdir()
    set_xattr(directory, "user.of a directory", b"x")
    for name, size in (("small", 10), ("large", SEGMENT + 10)):
        path = directory / name
        path.write_bytes(os.urandom(size))
        set_xattr(path, "user.empty", b"")
        set_xattr(path, "user.bytes", bytes(range(256)))
        set_xattr(path, "user.lines", b"a=1\nb=2\n")
        set_xattr(path, b"user.\xc3\xa9\xff", b"not ASCII")
    write_with_holes(directory / "sparse", _HOLE, (0, b"data"))
    set_xattr(directory / "sparse", "user.sparse", b"too")
    (directory / "long").touch()
    set_xattr(directory / "long", "user.long", os.urandom(3000))
    if IS_ROOT:
        set_xattr(directory / "small", "trusted.root", b"only")
        set_xattr(directory / "small", "security.capability", CAPABILITY)


def _acls(directory: Path) -> None:
    directory.mkdir()
    group = ((GROUP_OBJ, 5), (GROUP, 7, 54321), (MASK, 7), (OTHER, 0))
    (directory / "before the default").touch()
    set_xattr(directory, DEFAULT, acl((USER_OBJ, 7), (USER, 5, 12345), (USER, 4, 0), *group))
    (directory / "inherits").mkdir()
    (directory / "inherits" / "file").write_bytes(b"inherited")
    plain = directory / "inherits" / "has none"
    plain.mkdir()
    for name in (DEFAULT, ACCESS):
        if name in os.listxattr(plain):
            os.removexattr(plain, name)
    (plain / "nor this").touch()
    for name in ("file", "large"):
        (directory / name).write_bytes(bytes(SEGMENT if name == "large" else 5))
        set_xattr(directory / name, ACCESS, acl((USER_OBJ, 6), (USER, 6, 12345), *group))


def _modes_and_owners(directory: Path) -> None:
    directory.mkdir()
    for mode in (0o4755, 0o2755, 0o1644, 0o600, 0o777, 0o7777):
        path = directory / f"{mode:o}"
        path.touch()
        if IS_ROOT:
            os.chown(path, 12345, 3_000_000)
        path.chmod(mode)
    (directory / "sticky").mkdir()
    (directory / "sticky").chmod(0o1777)


def _specials(directory: Path) -> None:
    directory.mkdir()
    os.mkfifo(directory / "fifo", 0o620)
    if IS_ROOT:
        os.mknod(directory / "character", stat.S_IFCHR | 0o640, os.makedev(10, 300))
        os.mknod(directory / "block", stat.S_IFBLK | 0o640, os.makedev(7, 1_000))
        set_xattr(directory / "fifo", "trusted.fifo", b"x")


def _directories(directory: Path) -> None:
    (directory / "empty").mkdir(parents=True)
    deep = directory.joinpath(*["d" * 120] * 20)
    deep.mkdir(parents=True)
    (deep / ("f" * 120)).write_bytes(b"deep")


def _times(root: Path) -> None:
    """Each file gets a time of its own, before 1970 and after it, whole seconds and not."""
    paths = [os.path.join(where, name) for where, _, names in os.walk(root) for name in names]
    directories = [where for where, _, _ in os.walk(root, topdown=False)]
    links = [path for path in directories if os.path.islink(path)]
    for number, path in enumerate([*paths, *links, *directories]):
        sign, fraction = (-1 if number % 3 == 0 else 1), (0, 1, 250_000_000, 999_999_999)[number % 4]
        when = sign * (1_000_000_000 + number) * _SECOND + fraction
        os.utime(path, ns=(when, when), follow_symlinks=False)
