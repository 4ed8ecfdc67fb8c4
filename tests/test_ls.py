"""`ls`: what is in an archive, told by its index alone."""

from __future__ import annotations

import json
import os
import tarfile
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest

from async_backup.archive.index import (
    CHANGED,
    PIECE,
    IndexWriter,
    Member,
    Segment,
    member_record,
    pack_records,
    piece_record,
)
from async_backup.archive.member import DIRECTORY, HARD_LINK, REGULAR, SYMLINK, Meta
from async_backup.archived import NoIndex
from async_backup.errors import DamagedArchive, NotInArchive
from async_backup.listing.contents import Contents, read_contents
from async_backup.remote.memory import MemoryStore
from async_backup.ui.listing import MemberLines, member_fields
from tests.archives import make_archive
from tests.command import PROGRAM, finished, login
from tests.shelf import BASE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

NAME = b"wiki-2024-05-01T031500.tar.gz"
SECOND = 1_000_000_000


class Record(NamedTuple):
    """A record to be put into an index."""

    path: bytes
    type: bytes = REGULAR
    flags: int = 0
    link: bytes = b""
    size: int = 7


def indexed(*segments: Sequence[Record]) -> bytes:
    """An archive that is nothing but its index and as many bytes as that tells of."""
    index, pieces = IndexWriter(), []
    for number, records in enumerate(segments):
        packed = pack_records([_packed(record) for record in records])
        pieces.append(index.add(Segment(number, 1, 512 * max(1, len(records)), bytes(32), len(records), packed)))
    return b"".join([bytes(len(segments)), *pieces, index.finish(len(segments))])


def _packed(record: Record) -> bytes:
    meta = Meta(record.type, 0o640, 1000, 100, record.size, 86400 * SECOND, 0, 1, 1, 0)
    if record.type == PIECE:
        return piece_record(record.path, meta, 0, record.size, record.flags)
    return member_record(record.path, meta, record.link, 0, record.flags)


async def contents_of(archive: bytes) -> Contents:
    store = MemoryStore()
    store.put(BASE + NAME, archive)
    return await read_contents(store, NAME)


TREE = indexed(
    [Record(b"wiki", DIRECTORY), Record(b"wiki/a"), Record(b"wiki/sub", DIRECTORY), Record(b"wiki/sub/big")],
    [Record(b"wiki/sub/big", PIECE)],
    [Record(b"wiki/sub/deep", DIRECTORY), Record(b"wiki/sub/deep/c"), Record(b"wiki/sub2")],
)


async def listed(*paths: bytes, recursive: bool = False, archive: bytes = TREE) -> list[bytes]:
    return [member.path for member in (await contents_of(archive)).members(paths, recursive=recursive)]


async def test_without_a_path_all_members_are_listed_and_no_pieces() -> None:
    assert await listed() == [
        b"wiki",
        b"wiki/a",
        b"wiki/sub",
        b"wiki/sub/big",
        b"wiki/sub/deep",
        b"wiki/sub/deep/c",
        b"wiki/sub2",
    ]


async def test_of_a_directory_what_is_directly_in_it_is_listed() -> None:
    assert await listed(b"wiki/sub") == [b"wiki/sub/big", b"wiki/sub/deep"]
    assert await listed(b"wiki") == [b"wiki/a", b"wiki/sub", b"wiki/sub2"]


async def test_recursively_all_that_is_below_it_is_listed_too() -> None:
    assert await listed(b"wiki/sub", recursive=True) == [
        b"wiki/sub",
        b"wiki/sub/big",
        b"wiki/sub/deep",
        b"wiki/sub/deep/c",
    ]


async def test_files_and_directories_may_be_named_together_and_nothing_comes_twice() -> None:
    assert await listed(b"wiki/a", b"sub/deep", b"wiki/sub", b"a") == [
        b"wiki/a",
        b"wiki/sub/big",
        b"wiki/sub/deep",
        b"wiki/sub/deep/c",
    ]


@pytest.mark.parametrize("path", [b"sub/deep", b"wiki/sub/deep/", b"./sub//deep", b"/wiki/sub/deep"])
async def test_the_name_of_the_entry_may_be_left_out(path: bytes) -> None:
    assert await listed(path) == [b"wiki/sub/deep/c"]


@pytest.mark.parametrize("path", [b".", b"/", b"./"])
async def test_a_dot_is_the_entry_itself(path: bytes) -> None:
    assert await listed(path) == await listed(b"wiki")


async def test_a_path_that_is_not_there_is_an_error_with_the_nearest_names_before_anything_is_listed() -> None:
    members = (await contents_of(TREE)).members([b"wiki/a", b"wiki/subb"])
    with pytest.raises(NotInArchive, match=r"wiki/subb is not in wiki-.* did you mean wiki/sub2? or wiki/sub"):
        next(members)


async def test_a_large_file_is_flagged_where_any_piece_of_it_changed() -> None:
    archive = indexed(
        [Record(b"e", DIRECTORY), Record(b"e/big")],
        [Record(b"e/big", PIECE)],
        [Record(b"e/big", PIECE, CHANGED)],
        [Record(b"e/next"), Record(b"e/small", flags=CHANGED)],
    )
    members = list((await contents_of(archive)).members())
    assert [member.path for member in members if member.flags & CHANGED] == [b"e/big", b"e/small"]
    assert [MemberLines()(member).endswith("  (changed while it was read)") for member in members] == [
        False,
        True,
        False,
        True,
    ]


async def test_an_empty_archive_lists_nothing_and_holds_no_path() -> None:
    assert await listed(archive=indexed([])) == []
    with pytest.raises(NotInArchive):
        await listed(b"a", archive=indexed([]))


async def test_an_archive_without_an_index_is_an_error() -> None:
    with pytest.raises(NoIndex):
        await contents_of(b"\x1f\x8b" + bytes(1000))


async def test_records_that_are_damaged_inside_the_index_are_an_error() -> None:
    index = IndexWriter()
    piece = index.add(Segment(0, 1, 512, bytes(32), 1, b"no records"))
    contents = await contents_of(b"\0" + piece + index.finish(1))
    for paths in ([], [b"a"]):
        with pytest.raises(DamagedArchive, match="the index is damaged"):
            list(contents.members(paths))


def member(record: Record, **changes: int) -> Member:
    mtime = 1_700_000_000 * SECOND + 999_999_999
    plain = Member(record.path, record.type, 0o4640, 1000, 100, record.size, mtime, 0, 1, 0, record.link, record.flags)
    return plain._replace(**changes)  # type: ignore[arg-type]  # only numbers are changed


def test_a_line_holds_what_ls_shows() -> None:
    line = MemberLines()
    when = datetime.fromtimestamp(1_700_000_000).strftime("%Y-%m-%d %H:%M:%S")
    assert line(member(Record(b"e/a"))) == f"-rwSr----- 1000/100          7 {when} e/a"
    assert line(member(Record(b"e/l", SYMLINK, link=b"../x"))).endswith(f" {when} e/l -> ../x")
    assert line(member(Record(b"e/h", HARD_LINK, link=b"e/a"))).endswith(f" {when} e/h link to e/a")
    assert line(member(Record(b"e", DIRECTORY))).startswith("drwSr-----")


def test_columns_grow_with_what_comes_and_stay_that_wide() -> None:
    line = MemberLines()
    narrow = line(member(Record(b"a"))).index("2023-")
    wide = line(member(Record(b"a"), uid=4_000_000_000, size=10**15)).index("2023-")
    assert narrow < wide == line(member(Record(b"a"))).index("2023-")


@pytest.mark.parametrize("mtime_ns", [-(2**63), -1, 2**63 - 1])
def test_any_time_and_any_type_that_an_index_can_hold_is_shown(mtime_ns: int) -> None:
    strange = member(Record(b"a", b"\xff"), mtime_ns=mtime_ns, mode=2**32 - 1)
    assert MemberLines()(strange).startswith("?rws")
    assert member_fields(strange)["type"] == "unknown"


def test_no_name_reaches_the_terminal_raw() -> None:
    for kind in (REGULAR, SYMLINK, HARD_LINK):
        line = MemberLines()(member(Record(b"a\nb\x1b[31m\xff", kind, link=b"\x1b\n")))
        assert line.isprintable()
        assert "a\\nb\\x1b[31m\\xff" in line


class TestCommand:
    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        source, target = tmp_path / "source", tmp_path / "back ups"
        target.mkdir()
        (source / "wiki" / "sub").mkdir(parents=True)
        (source / "wiki" / "page").write_text("text\n")
        (source / "wiki" / "sub" / "e\nv\x1bil\udcff").write_bytes(bytes(200_000))
        (source / "wiki" / "link").symlink_to("page")
        os.link(source / "wiki" / "page", source / "wiki" / "again")
        make_archive(source, b"wiki", target / NAME.decode())
        with tarfile.open(target / "other.tar.gz", "w:gz") as tar:
            tar.add(source / "wiki", "wiki")
        return target

    def command(self, sshd: Sshd, target: Path, *more: str) -> list[str]:
        return [*PROGRAM, "ls", sshd.destination(target), *login(sshd), *more]

    @pytest.mark.parametrize("archive", ["wiki", "wiki@2024-05-01", NAME.decode()])
    def test_it_shows_every_member(self, sshd: Sshd, target: Path, archive: str) -> None:
        done = finished(self.command(sshd, target, archive))
        assert (done.returncode, done.stderr) == (0, "")
        with tarfile.open(target / NAME.decode()) as tar:
            names = [member.name for member in tar]
        rows = done.stdout.splitlines()
        assert len(rows) == len(names)
        assert " 200000 " in rows[-1]
        assert rows[-1].endswith(" wiki/sub/e\\nv\\x1bil\\xff")
        assert sum(row.endswith(" -> page") for row in rows) == 1
        assert sum(row.endswith(" wiki/page link to wiki/again") for row in rows) == 1

    def test_json_is_an_object_a_line(self, sshd: Sshd, target: Path) -> None:
        done = finished(self.command(sshd, target, "wiki", "sub", "--json"))
        found = json.loads(done.stdout)
        status = os.lstat(target.parent / "source" / "wiki" / "sub" / "e\nv\x1bil\udcff")
        assert found == {
            "path": "wiki/sub/e\nv\x1bil\udcff",
            "type": "file",
            "mode": f"{status.st_mode & 0o7777:04o}",
            "uid": status.st_uid,
            "gid": status.st_gid,
            "size": 200_000,
            "mtime_ns": status.st_mtime_ns,
            "link": None,
            "changed": False,
        }

    def test_a_path_that_is_not_there_is_an_error(self, sshd: Sshd, target: Path) -> None:
        done = finished(self.command(sshd, target, "wiki", "pages"))
        assert (done.returncode, done.stdout) == (1, "")
        assert "wiki/pages is not in wiki-2024-05-01T031500.tar.gz; did you mean wiki/page?" in done.stderr

    def test_without_an_index_it_says_what_lists_the_archive(self, sshd: Sshd, target: Path) -> None:
        done = finished(self.command(sshd, target, "other.tar.gz"))
        assert (done.returncode, done.stdout) == (1, "")
        command = f"ssh -p {sshd.port} {sshd.user}@{sshd.host} 'tar -tzvf"
        assert "other.tar.gz has no index that can be read" in done.stderr
        assert command in done.stderr

    def test_an_unknown_archive_is_an_error_with_the_nearest_names(self, sshd: Sshd, target: Path) -> None:
        done = finished(self.command(sshd, target, "wikki"))
        assert (done.returncode, done.stdout) == (1, "")
        assert "did you mean wiki?" in done.stderr
