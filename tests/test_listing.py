"""`list`: the archives of a destination, by their names, their ends and their checksum files alone."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from async_backup.archive.index import FOOTER_SIZE, read_footer
from async_backup.errors import ConnectionDropped, RemoteDenied, RemoteNotFound
from async_backup.listing.archives import Listing, list_archives
from async_backup.ui.listing import future_lines, listing_lines, outdated_lines
from tests.command import PROGRAM, backup_command, finished, login
from tests.shelf import BASE, NAMES, Shelf, archive_name, at, whole_archive

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

TEMPORARY = b".wiki-2024-05-01T031500.tar.gz.00000000-00000000-1-1-00000000.part"


def lines(listing: Listing, *, is_detailed: bool = False) -> list[str]:
    return list(listing_lines(listing, "host:/backups", is_detailed=is_detailed))


def size_of(content: bytes) -> str:
    return f"{len(content)} B"


async def test_archives_come_by_entry_and_from_the_oldest_to_the_newest() -> None:
    shelf = Shelf()
    for entry, day in (("wiki", 2), ("mail", 3), ("wiki", 1)):
        shelf.put_archive(entry, at(day))
    shelf.put_archive("wiki", at(9), directory=b"srv")
    listing = await list_archives(shelf, NAMES)
    assert [(listed.archive.entry, listed.archive.when) for listed in listing.archives] == [
        (b"mail", at(3)),
        (b"srv/wiki", at(9)),
        (b"wiki", at(1)),
        (b"wiki", at(2)),
    ]


async def test_an_archive_tells_what_its_footer_tells_and_nothing_else_of_it_is_read() -> None:
    shelf = Shelf()
    shelf.put_archive("wiki", at(1))
    (listed,) = (await list_archives(shelf, NAMES)).archives
    assert listed.footer == read_footer(whole_archive()[-FOOTER_SIZE:])
    assert (listed.problem, listed.archive.size, listed.archive.checksums) == ("", len(whole_archive()), ("md5",))
    assert shelf.requests == ["entries", "open", "read"]


async def test_checksum_files_are_read_only_where_that_is_wanted() -> None:
    shelf = Shelf()
    shelf.put_archive("wiki", at(1), hashes=("md5", "sha256"))
    (listed,) = (await list_archives(shelf, NAMES)).archives
    assert listed.checksums == {}
    (listed,) = (await list_archives(shelf, NAMES, checksums=True)).archives
    assert listed.checksums == {name: hashlib.new(name, whole_archive()).hexdigest() for name in ("md5", "sha256")}


@pytest.mark.parametrize("content", [b"", b"nonsense", b"0" * 32 + b"  another.tar.gz\n", bytes(1 << 20)])
async def test_a_checksum_file_that_tells_something_else_is_listed_without_a_value(content: bytes) -> None:
    shelf = Shelf()
    path = shelf.put_archive("wiki", at(1))
    shelf.put(BASE + path + b".md5", content)
    (listed,) = (await list_archives(shelf, NAMES, checksums=True)).archives
    assert (listed.archive.checksums, listed.checksums) == (("md5",), {"md5": None})


@pytest.mark.parametrize("content", [b"", whole_archive()[:-1], whole_archive()[1:], b"\x1f\x8b" + bytes(300)])
async def test_an_archive_without_a_whole_footer_is_listed_with_a_word(content: bytes) -> None:
    shelf = Shelf()
    shelf.put_archive("wiki", at(1), content=content)
    listing = await list_archives(shelf, NAMES)
    assert listing.archives[0].footer is None
    assert listing.archives[0].problem
    assert lines(listing)[2:] == [
        f"  2024-05-01 03:15:00 {size_of(content):>10}           -         -  md5, no index",
        f"1 archive of 1 entry: {size_of(content)}, 1 without an index",
    ]


async def test_an_archive_that_may_not_be_read_is_listed_and_the_others_too() -> None:
    shelf = Shelf(faults={"open": [RemoteDenied("memory: not yours")]})
    for day in (1, 2, 3):
        shelf.put_archive("wiki", at(day))
    listing = await list_archives(shelf, NAMES)
    assert sum(listed.footer is not None for listed in listing.archives) == 2
    assert [listed.problem for listed in listing.archives if listed.problem] == [
        "its end cannot be read: memory: not yours"
    ]


async def test_a_lost_connection_is_an_error_and_not_a_short_list() -> None:
    shelf = Shelf(faults={"entries": [None, ConnectionDropped("memory: lost")]})
    shelf.put_archive("wiki", at(1), directory=b"srv")
    with pytest.raises(ConnectionDropped):
        await list_archives(shelf, NAMES)


async def test_one_whose_name_tells_no_time_is_listed_under_its_own_name_and_marked() -> None:
    shelf = Shelf()
    shelf.put(BASE + b"photos-2019.tar.gz", whole_archive())
    listing = await list_archives(shelf, NAMES)
    _, heading, row, footnote, total = lines(listing)
    assert heading == "photos-2019.tar.gz"
    assert row[2 + len("2024-05-01 03:15:00")] == "*"
    assert row.endswith("  none")
    assert footnote.startswith("* its name tells no time")
    assert total == f"1 archive of 1 entry: {size_of(whole_archive())}, 1 without a checksum"


async def test_some_entries_alone_and_an_unknown_one_is_an_error_with_the_nearest_names() -> None:
    shelf = Shelf()
    for entry in ("wiki", "mail"):
        shelf.put_archive(entry, at(1))
    listing = await list_archives(shelf, NAMES, [b"mail"])
    assert [listed.archive.entry for listed in listing.archives] == [b"mail"]
    with pytest.raises(RemoteNotFound, match="there is no archive of wikki; did you mean wiki"):
        await list_archives(shelf, NAMES, [b"mail", b"wikki"])


async def test_unfinished_files_are_counted_and_named_in_detail() -> None:
    shelf = Shelf()
    shelf.put(BASE + TEMPORARY, b"half")
    listing = await list_archives(shelf, NAMES)
    assert lines(listing) == [
        "no archives in host:/backups",
        "1 unfinished file of runs under way or interrupted (-v names them)",
    ]
    assert lines(listing, is_detailed=True)[-1] == f"  {TEMPORARY.decode()}"


async def test_no_line_is_wider_than_80_columns_and_no_name_is_cut() -> None:
    shelf = Shelf()
    shelf.put_archive("wiki", at(1), hashes=("md5", "sha1"), content=bytes(1_234_567_890 >> 8))
    shelf.put_archive("n" * 200, at(1))
    shelf.put(BASE + b"other.tar.gz", bytes(1023 << 10))
    shown = lines(await list_archives(shelf, NAMES))
    assert "n" * 200 in shown
    assert max(len(line) for line in shown if line != "n" * 200) <= 80


async def test_no_name_reaches_the_terminal_raw() -> None:
    shelf = Shelf()
    hostile = "a\nb\x1b[31m\udcff"
    shelf.put_archive(hostile, at(1), content=b"")
    shelf.put(BASE + b"\x1b]0;.tar.gz", b"")
    shelf.put(BASE + b".\x1bq.00000000-00000000-1-1-00000000.part", b"")
    shown = lines(await list_archives(shelf, NAMES, checksums=True), is_detailed=True)
    assert all(line.isprintable() for line in shown)
    assert "a\\nb\\x1b[31m\\xff" in shown
    assert "    a\\nb\\x1b[31m\\xff-2024-05-01T031500.tar.gz" in shown


class TestCommand:
    def command(self, sshd: Sshd, target: Path, *more: str) -> list[str]:
        return [*PROGRAM, "list", sshd.destination(target), *login(sshd), *more]

    def test_what_a_run_has_stored_is_listed(self, sshd: Sshd, tmp_path: Path) -> None:
        source, target = tmp_path / "source", tmp_path / "backups"
        (source / "wiki").mkdir(parents=True)
        (source / "wiki" / "page").write_text("text\n")
        (source / "e\x1bvil").write_bytes(bytes(3000))
        finished(backup_command(sshd, source, to=target))
        done = finished(self.command(sshd, target))
        assert (done.returncode, done.stderr) == (0, "")
        table = done.stdout.splitlines()
        assert [table[1], table[3]] == ["e\\x1bvil", "wiki"]
        assert table[4].split()[-2:] == ["2", "md5"]
        assert table[-1].startswith("2 archives of 2 entries: ")

    def test_json_is_an_object_a_line(self, sshd: Sshd, tmp_path: Path) -> None:
        archive = tmp_path / os.fsdecode(archive_name("wiki", at(1)))
        archive.write_bytes(whole_archive())
        digest = hashlib.md5(whole_archive(), usedforsecurity=False).hexdigest()
        archive.with_name(archive.name + ".md5").write_text(f"{digest}  {archive.name}\n")
        (tmp_path / "oth\udcffer.tar.gz").write_bytes(b"")
        done = finished(self.command(sshd, tmp_path, "--json"))
        other, wiki = (json.loads(line) for line in done.stdout.splitlines())
        footer = read_footer(whole_archive()[-FOOTER_SIZE:])
        assert wiki == {
            "path": archive.name,
            "entry": "wiki",
            "when": "2024-05-01T03:15:00",
            "size": len(whole_archive()),
            "mtime": float(int(archive.stat().st_mtime)),
            "members": footer.members,
            "raw_size": footer.raw_length,
            "has_index": True,
            "is_incomplete": False,
            "problem": None,
            "checksums": {"md5": digest},
        }
        assert (other["entry"], other["when"], other["has_index"]) == ("oth\udcffer.tar.gz", None, False)

    def test_an_entry_is_listed_with_names_and_checksums(self, sshd: Sshd, tmp_path: Path) -> None:
        archive = tmp_path / os.fsdecode(archive_name("wiki", at(1)))
        archive.write_bytes(whole_archive())
        done = finished(self.command(sshd, tmp_path, "wiki"))
        assert f"    {archive.name}\n" in done.stdout

    def test_nothing_found_is_said_and_no_error(self, sshd: Sshd, tmp_path: Path) -> None:
        done = finished(self.command(sshd, tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"no archives in {sshd.destination(tmp_path)}\n"

    def test_what_is_not_there_is_an_error(self, sshd: Sshd, tmp_path: Path) -> None:
        done = finished(self.command(sshd, tmp_path / "missing"))
        assert (done.returncode, done.stdout) == (1, "")
        assert "there is no directory" in done.stderr
        done = finished(self.command(sshd, tmp_path, "wiki"))
        assert (done.returncode, done.stdout) == (1, "")
        assert "there is no archive of wiki" in done.stderr
        assert list(tmp_path.iterdir()) == []


async def test_the_newest_of_each_entry_is_the_last_one_that_is_whole() -> None:
    shelf = Shelf()
    for entry, day in (("wiki", 2), ("wiki", 5), ("mail", 3)):
        shelf.put_archive(entry, at(day))
    shelf.put_archive("wiki", at(9), content=whole_archive()[:-1])
    shelf.put_archive("cut", at(9), content=whole_archive()[:-1])
    shelf.put(BASE + b"/theirs.tar.gz", whole_archive())
    listing = await list_archives(shelf, NAMES)
    newest = {entry: archive and archive.when for entry, archive in listing.newest(at(9)).items()}
    assert newest == {b"cut": None, b"mail": at(3), b"wiki": at(5)}
    assert set(listing.outdated(at(3), at(9))) == {b"cut"}
    assert set(listing.outdated(at(4), at(9))) == {b"cut", b"mail"}
    assert list(outdated_lines(listing.outdated(at(4), at(9)), [], at(4))) == [
        "too old: cut: it has no archive that is known to be whole",
        f"too old: mail: its newest whole archive is of {at(3):%Y-%m-%d %H:%M:%S}, 24 h 00 min ago",
    ]
    assert list(outdated_lines(listing.outdated(at(7), at(9)), [], at(7)))[2].endswith(", 2 days ago")


async def test_an_archive_of_a_time_to_come_makes_no_entry_fresh() -> None:
    shelf = Shelf()
    for entry, day in (("wiki", 2), ("wiki", 20), ("mail", 20), ("home", 5)):
        shelf.put_archive(entry, at(day))
    listing = await list_archives(shelf, NAMES)
    newest = {entry: archive and archive.when for entry, archive in listing.newest(at(5)).items()}
    assert newest == {b"wiki": at(2), b"mail": None, b"home": at(5)}
    assert set(listing.outdated(at(4), at(5))) == {b"wiki", b"mail"}
    assert [line.partition(": ")[2] for line in future_lines(listing.later_than(at(5)), at(5))] == [
        f"mail-{at(20):%Y-%m-%dT%H%M%S}.tar.gz (15 days ahead)",
        f"wiki-{at(20):%Y-%m-%dT%H%M%S}.tar.gz (15 days ahead)",
    ]


def test_an_entry_without_a_new_archive_is_an_exit_code_of_its_own(sshd: Sshd, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "wiki").mkdir(parents=True)
    assert finished(backup_command(sshd, source, to=target)).returncode == 0
    for path in target.iterdir():
        path.rename(str(path).replace("wiki-20", "old-19"))
    assert finished(backup_command(sshd, source, to=target)).returncode == 0

    def listed(*options: str) -> tuple[int, str]:
        done = finished([*PROGRAM, "list", sshd.destination(target), *options, *login(sshd)])
        return done.returncode, done.stderr

    code, told = listed("--max-age", "1h")
    assert (code, told.count("\n")) == (3, 1)
    assert told.startswith("too old: old: its newest whole archive is of 19")
    assert listed("wiki", "--max-age", "1h") == (0, "")
    assert listed("--max-age", "999999d") == (0, "")
    assert listed("--max-age", "soon")[0] == 2
    for path in target.glob("wiki-*"):
        path.rename(str(path).replace("wiki-20", "wiki-29"))
    code, told = listed("wiki", "--max-age", "1h")
    assert (code, told.count("\n")) == (3, 2)
    assert told.startswith("of the future, so that it does not count: wiki-29")
    assert "too old: wiki: it has no other archive that is known to be whole" in told
    for path in target.iterdir():
        path.rename(target / f"renamed {path.name}".replace(":", ".").replace("-", "."))
    assert listed("--max-age", "1h") == (3, "too old: the name of no archive tells an entry and a time\n")
