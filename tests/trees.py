"""Trees to back up: drawn by Hypothesis, built on the disk, and seen again as values that compare.

Everything goes by directory descriptors, so a path may be longer than PATH_MAX. What only root may do (foreign
owners, device nodes, reading what has no read permission) is drawn only where the tests run as root.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEGMENT = 64 << 10
"""The segment size of the tests: small, so that small trees have several segments."""

IS_ROOT = os.geteuid() == 0
SECOND = 1_000_000_000
PATH_MAX = 4096
LINK_MAX = PATH_MAX - 1

_BILLION_SECONDS = 1_000_000_000 * SECOND
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Attributes:
    """What `chown`, `chmod` and `utime` set; the owner only where the tests run as root."""

    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = _BILLION_SECONDS


@dataclass(frozen=True)
class File:
    """A regular file of a hole and `size` bytes behind it; they follow from `seed` and do not compress."""

    size: int = 0
    seed: int = 0
    attributes: Attributes = field(default_factory=Attributes)
    hole: int = 0

    def content(self) -> bytes:
        return bytes(self.hole) + self.data()

    def data(self) -> bytes:
        return Random(self.seed).randbytes(self.size)


@dataclass(frozen=True)
class Link:
    """Another name of a regular file built before it: the first one counted from `target`, round and round."""

    target: int


@dataclass(frozen=True)
class Symlink:
    target: bytes
    attributes: Attributes = field(default_factory=Attributes)


@dataclass(frozen=True)
class Special:
    """A FIFO, a socket or a device node: `kind` is the file type of `stat`."""

    kind: int
    device: int = 0
    attributes: Attributes = field(default_factory=Attributes)


@dataclass(frozen=True)
class Directory:
    children: dict[bytes, Node] = field(default_factory=dict)
    attributes: Attributes = field(default_factory=lambda: Attributes(mode=0o755))


Node = File | Link | Symlink | Special | Directory


def names() -> st.SearchStrategy[bytes]:
    """Names of 1 to 255 bytes, in any bytes but `/` and NUL; many of text, many too long for ustar's fields."""
    any_bytes = st.binary(min_size=1, max_size=255).map(lambda name: name.translate(None, b"/\0"))
    long_bytes = st.binary(min_size=90, max_size=255).map(lambda name: name.translate(None, b"/\0"))
    text = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)
    plain = st.text("abc-_. ", min_size=1, max_size=130).map(str.encode)
    drawn = st.one_of(any_bytes, long_bytes, text.map(str.encode), plain)
    return drawn.filter(lambda name: 0 < len(name) <= 255 and name not in {b".", b".."})


def sizes() -> st.SearchStrategy[int]:
    """Sizes around the multiples of a block and of a segment, where cuts and paddings are decided."""
    around = st.integers(-2, 2)
    blocks = st.builds(lambda many, off: max(0, many * 512 + off), st.integers(0, 8), around)
    segments = st.builds(lambda many, off: many * SEGMENT // 4 + off, st.integers(1, 10), around)
    return st.one_of(st.just(0), st.integers(0, 3000), blocks, segments)


def times() -> st.SearchStrategy[int]:
    """Nanoseconds since 1970: before it, sub-second, beyond what ustar (2242) and a signed 64 bits (2262) hold."""
    seconds = st.one_of(
        st.integers(-(1 << 31), 1 << 31),
        st.sampled_from([-1, 0, 0o77777777777, 0o100000000000, (1 << 63) // SECOND + 1]),
    )
    fraction = st.one_of(st.just(0), st.sampled_from([1, 100, 500_000_000, 999_999_999]), st.integers(0, SECOND - 1))
    return st.builds(lambda whole, part: whole * SECOND + part, seconds, fraction)


def attributes() -> st.SearchStrategy[Attributes]:
    ids = st.one_of(st.sampled_from([0, 1, 0o7777777, 0o10000000, 1 << 31]), st.integers(0, 1 << 31))
    owner = ids if IS_ROOT else st.just(0)
    modes = st.integers(0, 0o7777).map(lambda mode: mode | (0 if IS_ROOT else 0o700))
    return st.builds(Attributes, mode=modes, uid=owner, gid=owner, mtime_ns=times())


def symlinks() -> st.SearchStrategy[Symlink]:
    """Links to anything; the one to LINK_MAX bytes that are not text has a test of its own, beside the judges."""
    targets = st.one_of(
        st.binary(min_size=1, max_size=150),
        st.sampled_from([99, 100, 101, 255, 256, LINK_MAX - 1]).flatmap(_binary_of),
        st.sampled_from([b"/", b"../../outside", b"/etc/passwd", b".", b"l" * LINK_MAX]),
    )
    clean = targets.map(lambda target: target.replace(b"\0", b"0"))
    return st.builds(Symlink, clean, attributes())


def _binary_of(size: int) -> st.SearchStrategy[bytes]:
    return st.integers(0, 1 << 32).map(lambda seed: Random(seed).randbytes(size))


def specials() -> st.SearchStrategy[Special]:
    fifos = st.builds(Special, st.just(stat.S_IFIFO), st.just(0), attributes())
    if not IS_ROOT:
        return fifos
    kinds = st.sampled_from([stat.S_IFCHR, stat.S_IFBLK])
    numbers = st.builds(os.makedev, st.integers(0, 4095), st.integers(0, (1 << 20) - 1))
    return st.one_of(fifos, st.builds(Special, kinds, numbers, attributes()))


def files() -> st.SearchStrategy[File]:
    holes = st.sampled_from([0, 0, 0, 0, 4095, 4096, SEGMENT // 2, SEGMENT * 5])
    return st.builds(File, sizes(), st.integers(0, 255), attributes(), holes)


def trees() -> st.SearchStrategy[Directory]:
    """Directories a few levels deep, of everything that a file system holds."""
    leaves: st.SearchStrategy[Node] = st.one_of(
        files(), files(), symlinks(), specials(), st.builds(Link, st.integers(0, 20))
    )
    nodes = st.recursive(leaves, lambda below: _directories(below, 6), max_leaves=25)
    return _directories(nodes, 12)


def _directories(children: st.SearchStrategy[Node], most: int) -> st.SearchStrategy[Directory]:
    return st.builds(Directory, st.dictionaries(names(), children, max_size=most), attributes())


class Builder:
    """Builds nodes below one directory; hard links refer to what it built before."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._files: list[tuple[int, bytes]] = []
        self._held: list[int] = []

    def add(self, directory: int, name: bytes, node: Node) -> None:
        if isinstance(node, Link):
            self._link(directory, name, node)
            return
        if isinstance(node, File):
            self._file(directory, name, node)
        elif isinstance(node, Symlink):
            os.symlink(node.target, name, dir_fd=directory)
        elif isinstance(node, Special):
            os.mknod(name, node.kind | 0o600, node.device, dir_fd=directory)
        else:
            self._directory(directory, name, node)
        set_attributes(directory, name, node.attributes, is_symlink=isinstance(node, Symlink))

    def close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)

    def _link(self, directory: int, name: bytes, link: Link) -> None:
        if not self._files:
            self.add(directory, name, File())
            return
        above, first = self._files[link.target % len(self._files)]
        os.link(first, name, src_dir_fd=above, dst_dir_fd=directory)

    def _file(self, directory: int, name: bytes, file: File) -> None:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=directory)
        with open(descriptor, "wb") as handle:
            handle.truncate(file.hole)
            handle.seek(file.hole)
            handle.write(file.data())
        self._files.append((directory, name))

    def _directory(self, directory: int, name: bytes, node: Directory) -> None:
        os.mkdir(name, dir_fd=directory)
        inside = os.open(name, _DIRECTORY, dir_fd=directory)
        self._held.append(inside)
        for child, below in node.children.items():
            self.add(inside, child, below)


def set_attributes(directory: int, name: bytes, attributes: Attributes, *, is_symlink: bool = False) -> None:
    if IS_ROOT:
        os.chown(name, attributes.uid, attributes.gid, dir_fd=directory, follow_symlinks=False)
    if not is_symlink:
        os.chmod(name, attributes.mode, dir_fd=directory)
    times_ns = (attributes.mtime_ns, attributes.mtime_ns)
    os.utime(name, ns=times_ns, dir_fd=directory, follow_symlinks=False)


def build(parent: Path, name: bytes, node: Node) -> None:
    """Make `node` as `name` in the directory `parent`."""
    with opened(parent) as root:
        builder = Builder(root)
        try:
            builder.add(root, name, node)
        finally:
            builder.close()


def build_deep(parent: Path, name: bytes, components: list[bytes], leaf: Node) -> None:
    """Make the directories `components`, one in another, below `name`, and `leaf` in the last one."""
    node = leaf
    for component in reversed(components):
        node = Directory({component: node})
    build(parent, name, node if isinstance(node, Directory) else Directory({b"leaf": node}))


class Seen(NamedTuple):
    """One file as it is on the disk; `names` are all paths of a regular file that has several."""

    kind: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    content: bytes
    link: bytes
    device: int
    names: frozenset[bytes]


Snapshot = dict[bytes, Seen]
Inodes = dict[tuple[int, int], set[bytes]]


def snapshot(parent: Path, name: bytes) -> Snapshot:
    """All that is at and below `name` in `parent`, by the path from `parent`."""
    found: Snapshot = {}
    inodes: Inodes = {}
    with opened(parent) as root:
        _look(root, name, name, found, inodes)
    groups = {path: frozenset(paths) for paths in inodes.values() if len(paths) > 1 for path in paths}
    return {path: seen._replace(names=groups.get(path, frozenset())) for path, seen in found.items()}


def _look(directory: int, name: bytes, path: bytes, found: Snapshot, inodes: Inodes) -> None:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    kind = stat.S_IFMT(status.st_mode)
    content = _content(directory, name) if kind == stat.S_IFREG else b""
    link = os.readlink(name, dir_fd=directory) if kind == stat.S_IFLNK else b""
    device = status.st_rdev if kind in {stat.S_IFCHR, stat.S_IFBLK} else 0
    owner, mode = (status.st_uid, status.st_gid), stat.S_IMODE(status.st_mode)
    found[path] = Seen(kind, mode, *owner, status.st_mtime_ns, content, link, device, frozenset())
    if kind == stat.S_IFREG:
        inodes.setdefault((status.st_dev, status.st_ino), set()).add(path)
    if kind == stat.S_IFDIR:
        _look_inside(directory, name, path, found, inodes)


def _look_inside(directory: int, name: bytes, path: bytes, found: Snapshot, inodes: Inodes) -> None:
    inside = os.open(name, _DIRECTORY, dir_fd=directory)
    try:
        for child in sorted(map(os.fsencode, os.listdir(inside))):
            _look(inside, child, path + b"/" + child, found, inodes)
    finally:
        os.close(inside)


def _content(directory: int, name: bytes) -> bytes:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory), "rb") as file:
        return file.read()


@contextmanager
def opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
