"""Tar archives made block by block, as wrong as a test wants them."""

from __future__ import annotations

import itertools

from async_backup.archive.header import BLOCK_SIZE, padding
from async_backup.archive.member import REGULAR, Meta
from async_backup.archive.tar import Buffer, Sparse, TarMember, TarReader
from tests.trees import SECOND

PLAIN = Meta(REGULAR, 0o644, 1234, 1234, 0, 1_700_000_000 * SECOND, 0, 0, 0, 0)
POSIX, GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)


def block(
    name: bytes = b"x",
    *,
    kind: bytes = REGULAR,
    size: bytes = b"0",
    mode: bytes = b"644",
    uid: bytes = b"0",
    gid: bytes = b"0",
    mtime: bytes = b"0",
    link: bytes = b"",
    magic: bytes = POSIX,
    devices: tuple[bytes, bytes] = (b"", b""),
    prefix: bytes = b"",
) -> bytes:
    """A header block with fields as they are given, however wrong, and the right checksum."""
    numbers = b"".join(field.ljust(8, b"\0") for field in (mode, uid, gid))
    first = name.ljust(100, b"\0") + numbers + size.ljust(12, b"\0") + mtime.ljust(12, b"\0")
    owner = b"user".ljust(32, b"\0") + b"group".ljust(32, b"\0")
    rest = kind + link.ljust(100, b"\0") + magic + owner + b"".join(number.ljust(8, b"\0") for number in devices)
    return summed(first + bytes(8) + rest + prefix.ljust(167, b"\0"))


def summed(header_block: bytes) -> bytes:
    first, rest = header_block[:148], header_block[156:]
    return first + b"%06o\0 " % (sum(first) + sum(rest) + 8 * 0x20) + rest


def helper(kind: bytes, payload: bytes) -> bytes:
    return block(b"helper", kind=kind, size=b"%o" % len(payload)) + payload + padding(len(payload))


def record(keyword: bytes, value: bytes) -> bytes:
    rest = len(keyword) + len(value) + 3
    length = next(size for size in itertools.count(rest) if size == rest + len(str(size)))
    return b"%d %b=%b\n" % (length, keyword, value)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    return helper(kind, b"".join(itertools.starmap(record, records)))


def read_all(archive: bytes) -> list[tuple[TarMember, bytes]]:
    reader = TarReader(Buffer(archive))
    found = []
    while (member := reader.next()) is not None:
        found.append((member, reader.take(member)))
    return found


def only(archive: bytes) -> TarMember:
    reader = TarReader(Buffer(archive))
    member = reader.next()
    assert member is not None
    return member


SPARSE_DATA = b"a" * 512 + b"b" * 100
SPARSE = Sparse(5000, ((1024, 512), (4000, 100)))


def old_sparse(pairs: list[tuple[int, int]], *, real_size: int = 5000, data: bytes = SPARSE_DATA) -> bytes:
    """A member of GNU tar's old format."""
    slots = [b"%011o\0%011o\0" % pair for pair in pairs]
    head = bytearray(block(kind=b"S", size=b"%o" % len(data), magic=GNU))
    head[386:483] = b"".join(slots[:4]).ljust(96, b"\0") + bytes([len(slots) > 4])
    head[483:495] = b"%011o\0" % real_size
    blocks = [summed(bytes(head))]
    for at in range(4, len(slots), 21):
        extension = b"".join(slots[at : at + 21]).ljust(504, b"\0") + bytes([len(slots) > at + 21])
        blocks.append(extension.ljust(BLOCK_SIZE, b"\0"))
    return b"".join(blocks) + data + padding(len(data))


def sparse_0_0(pairs: list[tuple[int, int]], *, real_size: int = 5000, data: bytes = SPARSE_DATA) -> bytes:
    keywords = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
    records = [(keyword, b"%d" % number) for pair in pairs for keyword, number in zip(keywords, pair, strict=True)]
    head = pax((b"GNU.sparse.size", b"%d" % real_size), *records) + block(size=b"%o" % len(data))
    return head + data + padding(len(data))


def sparse_0_1(pairs: list[tuple[int, int]], *, real_size: int = 5000, data: bytes = SPARSE_DATA) -> bytes:
    numbers = b",".join(b"%d,%d" % pair for pair in pairs)
    head = pax((b"GNU.sparse.size", b"%d" % real_size), (b"GNU.sparse.map", numbers), (b"GNU.sparse.name", b"x"))
    return head + block(b"GNUSparseFile.1/x", size=b"%o" % len(data)) + data + padding(len(data))


def sparse_1_0(pairs: list[tuple[int, int]], *, real_size: int = 5000, data: bytes = SPARSE_DATA) -> bytes:
    lines = b"".join(b"%d\n" % number for number in (len(pairs), *itertools.chain(*pairs)))
    payload = lines + padding(len(lines)) + data
    version = ((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"x"))
    head = pax(*version, (b"GNU.sparse.realsize", b"%d" % real_size))
    return head + block(b"GNUSparseFile.1/x", size=b"%o" % len(payload)) + payload + padding(len(payload))


SPARSE_FORMATS = [old_sparse, sparse_0_0, sparse_0_1, sparse_1_0]
