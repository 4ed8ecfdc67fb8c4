"""`find`: which archives hold a file, and in which versions, told by their indexes alone."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from async_backup import catalog
from async_backup.errors import ConnectionDropped, RemoteDenied, RemoteNotFound
from async_backup.listing import finding
from async_backup.listing.finding import find
from async_backup.tasks import side_by_side
from async_backup.ui.finding import finding_lines
from tests.archives import make_archive
from tests.command import PROGRAM, finished, login
from tests.shelf import BASE, NAMES, Shelf, archive_name, at

if TYPE_CHECKING:
    from pathlib import Path

    from async_backup.listing.finding import Finding
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio


class Past:
    """Archives of what is in `source`, put on a shelf day by day."""

    def __init__(self, base: Path) -> None:
        self.source = base / "source"
        self.source.mkdir()
        self.shelf = Shelf()
        self._scratch = base / "archive"

    def write(self, name: str, content: str, mtime: int) -> None:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, (mtime, mtime))

    def back_up(self, day: int, entry: str = "wiki", directory: bytes = b"") -> bytes:
        made = make_archive(self.source, os.fsencode(entry), self._scratch)
        return self.shelf.put_archive(entry, at(day), content=made.data(), directory=directory)

    async def find(self, *patterns: str, entries: tuple[bytes, ...] = ()) -> Finding:
        return await find(self.shelf, NAMES, patterns, entries)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def told(found: Finding) -> dict[tuple[str, str], list[tuple[int, int, int, int]]]:
    """By entry and path: size, first day, last day, and number of archives of each version."""
    return {
        (os.fsdecode(one.entry), os.fsdecode(one.path)): [
            (version.member.size, version.first.when.day, version.last.when.day, version.archives)
            for version in one.versions
            if version.first.when and version.last.when
        ]
        for one in found.found
    }


async def test_versions_are_told_from_the_first_to_the_last_archive_that_has_them(past: Past) -> None:
    past.write("wiki/etc/a.conf", "one", 1)
    past.back_up(1)
    past.back_up(2)
    past.write("wiki/etc/a.conf", "longer", 2)
    past.back_up(3)
    past.write("wiki/etc/a.conf", "LONGER", 3)
    past.back_up(4)
    found = await past.find("a.conf")
    assert told(found) == {("wiki", "etc/a.conf"): [(3, 1, 2, 2), (6, 3, 3, 1), (6, 4, 4, 1)]}
    assert (found.archives, found.unread) == (4, ())


async def test_a_file_that_was_away_for_a_while_has_two_versions(past: Past) -> None:
    past.write("wiki/page", "text", 1)
    past.write("wiki/other", "text", 1)
    past.back_up(1)
    (past.source / "wiki" / "page").unlink()
    past.back_up(2)
    past.write("wiki/page", "text", 1)
    past.back_up(3)
    assert told(await past.find("page")) == {("wiki", "page"): [(4, 1, 1, 1), (4, 3, 3, 1)]}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["b.txt"], {"docs/b.txt", "docs/deep/b.txt"}),
        (["*.txt"], {"a.txt", "docs/b.txt", "docs/deep/b.txt"}),
        (["/*.txt"], {"a.txt"}),
        (["docs/*.txt"], {"docs/b.txt"}),
        (["docs/**/*.txt"], {"docs/b.txt", "docs/deep/b.txt"}),
        (["docs"], {"docs"}),
        (["docs/**"], {"docs/b.txt", "docs/deep", "docs/deep/b.txt"}),
        (["deep/"], {"docs/deep"}),
        (["b.txt/"], set()),
        (["*.txt", "!b.txt"], {"a.txt"}),
        (["a.txt", "new\\\nline"], {"a.txt"}),
        (["nothing"], set()),
        (["wiki"], set()),
    ],
)
async def test_patterns_are_those_of_gitignore(past: Past, patterns: list[str], expected: set[str]) -> None:
    for name in ("a.txt", "docs/b.txt", "docs/deep/b.txt"):
        past.write(f"wiki/{name}", name, 1)
    past.back_up(1)
    assert {path for _, path in told(await past.find(*patterns))} == expected


async def test_an_entry_that_is_a_file_is_found_by_its_name(past: Past) -> None:
    past.write("dump.sql", "text", 1)
    past.back_up(1, "dump.sql")
    assert told(await past.find("*.sql")) == {("dump.sql", "dump.sql"): [(4, 1, 1, 1)]}


async def test_entries_are_told_apart_also_those_of_several_sources(past: Past) -> None:
    past.write("wiki/page", "text", 1)
    past.write("site/page", "text", 1)
    past.back_up(1)
    past.back_up(1, "site")
    past.back_up(2, directory=b"srv")
    assert told(await past.find("page")) == {
        ("site", "page"): [(4, 1, 1, 1)],
        ("srv/wiki", "page"): [(4, 2, 2, 1)],
        ("wiki", "page"): [(4, 1, 1, 1)],
    }
    found = (await past.find("page")).found
    assert [one.versions[0].member.path for one in found] == [b"site/page", b"wiki/page", b"wiki/page"]
    only = await past.find("page", entries=(b"site",))
    assert (set(told(only)), only.archives) == ({("site", "page")}, 1)
    with pytest.raises(RemoteNotFound, match="no archive of blog"):
        await past.find("page", entries=(b"blog",))


async def test_what_cannot_be_looked_into_is_told_and_the_rest_found(past: Past) -> None:
    past.write("wiki/page", "text", 1)
    path = past.back_up(1)
    past.shelf.put_archive("wiki", at(2), content=b"foreign")
    past.shelf.put_archive("wiki", at(3), content=past.shelf.files[BASE + path][:-1])
    damaged = bytearray(past.shelf.files[BASE + path])
    damaged[-200] ^= 1
    past.shelf.put_archive("wiki", at(4), content=bytes(damaged))
    past.back_up(5)
    found = await past.find("page")
    assert told(found) == {("wiki", "page"): [(4, 1, 5, 2)]}
    assert [archive.when.day for archive, _ in found.unread if archive.when] == [2, 3, 4]
    assert all(reason for _, reason in found.unread)


async def test_an_archive_that_may_not_be_read_is_told(past: Past) -> None:
    past.write("wiki/page", "text", 1)
    past.back_up(1)
    past.shelf.add_faults("open", [RemoteDenied("not yours")] * 2)
    found = await past.find("page")
    assert [reason for _, reason in found.unread] == ["not yours"]


async def test_a_server_that_is_gone_is_no_answer(past: Past) -> None:
    past.write("wiki/page", "text", 1)
    past.back_up(1)
    past.shelf.add_faults("open", [ConnectionDropped("gone")] * 9)
    with pytest.raises(ConnectionDropped):
        await past.find("page")


async def test_few_large_archives_are_looked_into_at_once(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    past.write("wiki/page", "text", 1)
    for day in range(1, 20):
        past.back_up(day)
    asked: list[int] = []

    async def counted(work: object, items: list[object], *, at_once: int) -> object:
        asked.append(len(items))
        return await side_by_side(work, items, at_once=at_once)  # type: ignore[arg-type]

    monkeypatch.setattr(finding, "side_by_side", counted)
    monkeypatch.setattr(catalog, "_SIZE_AT_ONCE", 10)
    assert told(await past.find("page")) == {("wiki", "page"): [(4, 1, 19, 19)]}
    assert asked == [4, 4, 4, 4, 3]


async def test_names_of_one_file_have_the_same_versions_whichever_comes_first(past: Past) -> None:
    past.write("wiki/hard1", "abc", 1)
    os.link(past.source / "wiki/hard1", past.source / "wiki/hard2")
    past.back_up(1)
    os.link(past.source / "wiki/hard1", past.source / "wiki/aaa")
    past.back_up(2)
    (past.source / "wiki/hard1").unlink()
    past.back_up(3)
    assert told(await past.find("hard*")) == {
        ("wiki", "hard1"): [(3, 1, 2, 2)],
        ("wiki", "hard2"): [(3, 1, 3, 3)],
    }


async def test_links_are_told_with_their_targets(past: Past) -> None:
    (past.source / "wiki").mkdir()
    (past.source / "wiki" / "link").symlink_to("there")
    past.back_up(1)
    lines = list(finding_lines(await past.find("link")))
    assert "symlink -> there  in 2024-05-01" in lines[2]


async def test_lines_name_the_newest_version_first_and_nothing_is_raw(past: Past) -> None:
    past.write("wiki/e\x1bvil\n", "a", 86_400)
    past.back_up(1)
    past.back_up(2)
    past.write("wiki/e\x1bvil\n", "bb", 2 * 86_400)
    past.back_up(3)
    lines = list(finding_lines(await past.find("e?vil*")))
    assert lines[:2] == ["wiki", "  e\\x1bvil\\n"]
    assert "2 B" in lines[2]
    assert lines[2].endswith("in 2024-05-03 03:15:00")
    assert "1 B" in lines[3]
    assert lines[3].endswith("in 2024-05-02 03:15:00 and 1 before, since 2024-05-01 03:15:00")
    assert lines[4].startswith("1 path in 3 archives")
    assert all(line.isprintable() for line in lines)


async def test_nothing_found_is_said(past: Past) -> None:
    past.write("wiki/page", "text", 1)
    past.back_up(1)
    assert list(finding_lines(await past.find("nothing"))) == ["nothing that matches in 1 archive"]


class TestCommand:
    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        target = tmp_path / "backups"
        target.mkdir()
        (tmp_path / "source" / "wiki").mkdir(parents=True)
        for day in (1, 2):
            (tmp_path / "source" / "wiki" / "page").write_text("x" * day)
            make_archive(tmp_path / "source", b"wiki", target / archive_name("wiki", at(day)).decode())
        return target

    def command(self, sshd: Sshd, target: Path, *more: str) -> list[str]:
        return [*PROGRAM, "find", sshd.destination(target), *login(sshd), *more]

    def test_it_shows_versions(self, sshd: Sshd, target: Path) -> None:
        done = finished(self.command(sshd, target, "page"))
        assert (done.returncode, done.stderr) == (0, "")
        rows = done.stdout.splitlines()
        assert rows[:2] == ["wiki", "  page"]
        assert ["2 B" in rows[2], "1 B" in rows[3], len(rows)] == [True, True, 5]

    def test_json_is_an_object_a_version(self, sshd: Sshd, target: Path) -> None:
        done = finished(self.command(sshd, target, "page", "--json"))
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(one["entry"], one["path"], one["size"], one["archives"]) for one in found] == [
            ("wiki", "wiki/page", 1, 1),
            ("wiki", "wiki/page", 2, 1),
        ]
        assert found[0]["first"] == found[0]["last"] == "wiki-2024-05-01T031500.tar.gz"

    def test_an_archive_without_index_gives_exit_code_3(self, sshd: Sshd, target: Path) -> None:
        (target / "other.tar.gz").write_bytes(b"foreign")
        done = finished(self.command(sshd, target, "page"))
        assert done.returncode == 3
        assert "not looked into: other.tar.gz" in done.stderr
        assert "  page" in done.stdout

    @pytest.mark.parametrize(("words", "error"), [([], "no pattern was given"), (["!"], "gitignore")])
    def test_what_is_no_pattern_is_an_error(self, sshd: Sshd, target: Path, words: list[str], error: str) -> None:
        done = finished(self.command(sshd, target, *words))
        assert (done.returncode, done.stdout) == (2, "")
        assert error in done.stderr
