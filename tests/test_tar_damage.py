"""Damaged archives, and those made to do harm: told as DamagedTar, in bounded memory, whatever stands in them."""

from __future__ import annotations

import io
import itertools
import tarfile
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_backup.archive.header import BLOCK_SIZE, header, padding
from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY, FIFO, HARD_LINK, REGULAR, SYMLINK
from async_backup.archive.tar import HELPERS_LIMIT, Buffer, DamagedTar, TarMember, TarReader
from tests.tar_blocks import PLAIN, SPARSE_FORMATS, block, helper, pax, read_all, summed


class Endless:
    """A source that repeats `blocks` for ever, and counts what was asked for at once."""

    def __init__(self, blocks: bytes) -> None:
        self._blocks = itertools.cycle([blocks[at : at + BLOCK_SIZE] for at in range(0, len(blocks), BLOCK_SIZE)])
        self.largest = 0

    def read(self, size: int) -> bytes:
        self.largest = max(self.largest, size)
        return b"".join(itertools.islice(self._blocks, size // BLOCK_SIZE))


@pytest.mark.parametrize(
    "blocks",
    [
        block(kind=b"x", size=b"777777777777"),
        pax((b"comment", b"x" * 60_000)),
        pax((b"comment", b"x" * 60_000), kind=b"g"),
        helper(b"L", b"x" * 60_000),
        helper(b"A", b"x" * 60_000),
    ],
    ids=["one that is huge", "x", "g", "L", "A"],
)
def test_headers_without_end_are_given_up(blocks: bytes) -> None:
    source = Endless(blocks)
    with pytest.raises(DamagedTar, match=f"longer than {HELPERS_LIMIT}"):
        TarReader(source).next()
    assert source.largest <= HELPERS_LIMIT


def corpus() -> list[bytes]:
    """Valid archives of all kinds of members and headers."""
    ours = header(b"n" * 300, PLAIN._replace(mtime_ns=5)) + header(b"l", PLAIN._replace(type=SYMLINK), b"\xff" * 200)
    ours += header(b"f", PLAIN._replace(size=700, mtime_ns=1_700_000_000_123_456_789)) + b"f" * 700 + padding(700)
    records = pax((b"SCHILY.xattr.user.a", b"v"), (b"LIBARCHIVE.xattr.user.b", b"dmFs"), (b"SCHILY.acl.access", b"u"))
    pairs = [(1024, 512), (4000, 100), (5000, 0), (5000, 0), (5000, 0), (5000, 0)]
    sparse = [member_of(pairs) for member_of in SPARSE_FORMATS]
    return [ours, records + block(size=b"5") + b"12345" + padding(5), *sparse, *map(by_tarfile, (0, 1, 2))]


def by_tarfile(format_of: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_of, pax_headers={"comment": "all"}) as tar:
        for kind, name in ((tarfile.DIRTYPE, "d"), (tarfile.CHRTYPE, "c"), (tarfile.REGTYPE, "d/" * 60 + "f")):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mtime = kind, 600 if kind == tarfile.REGTYPE else 0, 5
            tar.addfile(info, io.BytesIO(bytes(600)))
    return buffer.getvalue()[: 20 * BLOCK_SIZE]


CORPUS = corpus()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid archive in which some bytes were changed, cut out or put in; checksums may have been made right again."""
    archive = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(archive)))
        end = at + draw(st.sampled_from([0, 0, 1, 1, 2, 8, 512, 1 << 20]))
        archive[at:end] = draw(st.one_of(st.just(b""), st.binary(max_size=12), st.sampled_from([b"0", b"9", b"\xff"])))
    return with_right_sums(bytes(archive)) if draw(st.booleans()) else bytes(archive)


def with_right_sums(archive: bytes) -> bytes:
    blocks = [archive[at : at + BLOCK_SIZE] for at in range(0, len(archive), BLOCK_SIZE)]
    return b"".join(summed(each) if each[257:262] == b"ustar" and len(each) == BLOCK_SIZE else each for each in blocks)


@given(damaged())
@example(b"")
def test_damage_is_told_as_such_and_what_is_read_keeps_its_promises(archive: bytes) -> None:
    reader = TarReader(Buffer(archive))
    with suppress(DamagedTar):
        while (member := reader.next()) is not None:
            check_promises(member, reader.take(member))
    assert reader.offset <= len(archive)


def check_promises(member: TarMember, data: bytes) -> None:
    assert len(data) == member.size
    assert not member.path.endswith(b"/")
    assert b"\0" not in member.path + member.link + member.user + member.group
    assert min(member.uid, member.gid, member.rdev, member.size) >= 0
    assert member.type in {REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO}
    assert member.sparse is None or sum(length for _, length in member.sparse.extents) == member.size


def test_the_archives_that_are_damaged_here_are_whole_before() -> None:
    assert [len(read_all(archive)) for archive in CORPUS] == [3, 1, 1, 1, 1, 1, 3, 3, 3]
