"""`restore --dry-run`: what would be restored, told by indexes alone; nothing is written."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

import pytest

from async_backup.archive_names import NameParser
from async_backup.catalog import read_catalog
from async_backup.errors import RestoreError
from async_backup.events import ignore
from async_backup.restoring import foreseen as looking
from async_backup.restoring.model import RestoreSettings
from async_backup.ui.foreseen import ForeseenLines
from tests.command import PROGRAM, backup_command, finished, login
from tests.restores import HERE, LIMITS, NAME, archive_of, store_of, tree
from tests.verifications import with_records_cut_short

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from async_backup.remote.memory import MemoryStore
    from tests.sshd import Sshd

LARGE = 3_000_000


@pytest.fixture
def source(sshd: Sshd, target: Path, tmp_path: Path) -> Path:
    """Backed up to `target`."""
    source = tmp_path / "source"
    (source / "wiki/docs").mkdir(parents=True)
    (source / "wiki/docs/a.txt").write_text("text")
    (source / "wiki/docs/b.txt").hardlink_to(source / "wiki/docs/a.txt")
    (source / "wiki/zeros").write_bytes(bytes(LARGE))
    (source / "mail").write_text("letters")
    assert finished(backup_command(sshd, source, to=target)).returncode == 0
    return source


@pytest.fixture
def target(sshd: Sshd, tmp_path: Path) -> Path:
    return sshd.directory / tmp_path.name


def foreseen(sshd: Sshd, target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return finished([*PROGRAM, "restore", sshd.destination(target), "--dry-run", *arguments, *login(sshd)])


@pytest.mark.usefixtures("source")
def test_what_would_be_restored_is_listed_as_ls_does_it(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    done = foreseen(sshd, target, "wiki", "docs", "--to", str(tmp_path / "back"))
    *lines, total = done.stdout.splitlines()
    assert [line.split()[5:] for line in lines] == [
        ["wiki/docs"],
        ["wiki/docs/a.txt"],
        ["wiki/docs/b.txt", "link", "to", "wiki/docs/a.txt"],
    ]
    assert total.startswith("would restore 3 members of wiki-")
    assert f" to {tmp_path}/back: 4 B, " in total
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "back").exists()


@pytest.mark.usefixtures("source")
def test_in_json_it_is_an_object_a_member_under_the_name_that_it_would_have(
    sshd: Sshd, target: Path, tmp_path: Path
) -> None:
    done = foreseen(sshd, target, "wiki", "--include", "b.*", "--to", str(tmp_path / "back"), "--json")
    [told] = map(json.loads, done.stdout.splitlines())
    assert (told["event"], told["path"], told["type"], told["size"]) == ("would_restore", "wiki/docs/b.txt", "file", 4)


def test_it_is_what_is_restored_then(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    options = ["--all", "--exclude", "docs/b*", "--to", str(tmp_path / "back"), "--json"]
    told = {json.loads(line)["path"] for line in foreseen(sshd, target, *options).stdout.splitlines()}
    assert finished([*PROGRAM, "restore", sshd.destination(target), *options, *login(sshd)]).returncode == 0
    assert told == set(tree(tmp_path / "back")) == set(tree(source)) - {"wiki/docs/b.txt"}


@pytest.mark.usefixtures("source")
def test_what_is_in_the_way_is_named_as_a_restore_would(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    (tmp_path / "back/mail").write_text("mine")
    one = foreseen(sshd, target, "mail", "--to", str(tmp_path / "back"))
    assert (one.returncode, one.stdout) == (1, "")
    assert f"these exist already in {tmp_path}/back: mail" in one.stderr
    every = foreseen(sshd, target, "--all", "--to", str(tmp_path / "back"))
    assert (every.returncode, every.stderr.count("these exist already in")) == (3, 1)
    assert every.stderr.startswith("error: mail-")
    assert every.stdout.count("would restore") == 1
    assert foreseen(sshd, target, "--all", "--to", str(tmp_path / "back"), "--overwrite", "always").returncode == 0
    assert tree(tmp_path / "back") == {"mail": b"mine"}


@pytest.mark.usefixtures("source")
def test_a_link_whose_file_is_not_wanted_is_shown_as_what_it_will_be(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    (tmp_path / "source/wiki/docs/c.txt").hardlink_to(tmp_path / "source/wiki/docs/a.txt")
    finished(backup_command(sshd, tmp_path / "source", "--timestamp-format", "%F-%H%M%S9", to=target))
    where = ["wiki", "--include", "[bc].txt", "--to", str(tmp_path / "back"), "--timestamp-format", "%F-%H%M%S9"]
    told = [json.loads(line) for line in foreseen(sshd, target, *where, "--json").stdout.splitlines()]
    assert {(one["path"], one["type"], one["link"]) for one in told} == {
        ("wiki/docs/b.txt", "file", None),
        ("wiki/docs/c.txt", "hard-link", "wiki/docs/b.txt"),
    }


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("to", ["file", "file/below", "link"])
def test_a_directory_that_cannot_be_made_is_told_and_nothing_is_made(
    sshd: Sshd, target: Path, tmp_path: Path, to: str
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    before = tree(tmp_path)
    for options in (["mail"], ["--all"]):
        assert foreseen(sshd, target, *options, "--to", str(tmp_path / to)).returncode == 1
    assert tree(tmp_path) == before


def test_of_several_sources_each_comes_into_its_directory_unless_that_is_a_link(
    sshd: Sshd, target: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    assert finished(backup_command(sshd, tmp_path / "one", str(tmp_path / "two"), to=target)).returncode == 0
    (tmp_path / "back").mkdir()
    (tmp_path / "back/two").symlink_to(tmp_path)
    done = foreseen(sshd, target, "--all", "--to", str(tmp_path / "back"), "--json")
    [told, error] = sorted(
        map(json.loads, done.stdout.splitlines()), key=lambda event: str(event["event"]), reverse=True
    )
    assert (told["path"], error["event"], error["archive"][:4]) == ("one/file", "error", "two/")
    assert (done.returncode, done.stderr.count("nothing is written through one")) == (3, 1)


def test_what_would_not_come_is_told_and_is_the_exit_code_of_a_restore(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    (source / "out").mkdir()
    (source / "out/link").symlink_to("/etc")
    (source / "out/file").write_text("newer")
    assert finished(backup_command(sshd, source, "--only", "out", to=target)).returncode == 0
    (tmp_path / "back/out").mkdir(parents=True)
    (tmp_path / "back/out/file").write_text("newer still")
    options = ["--overwrite", "if-newer", "--to", str(tmp_path / "back")]
    one = foreseen(sshd, target, "out", *options)
    assert (
        one.stderr
        == "not restored: out/link: a symbolic link that leads out of the directory; --outside-links restores it\n"
    )
    assert (one.returncode, one.stdout.count("\n")) == (3, 2)
    assert one.stdout.endswith(" to fetch; 1 member would be kept (-v names them); 1 member would not come back\n")
    told = [json.loads(line) for line in foreseen(sshd, target, "out", *options, "--json").stdout.splitlines()]
    issues = [line["issue"] for line in told if line["event"] == "issue_found"]
    assert [(issue["path"], issue["kind"]) for issue in issues] == [("out/file", "kept"), ("out/link", "refused")]
    every = foreseen(sshd, target, "--all", *options, "--quiet")
    assert (every.returncode, every.stdout, every.stderr) == (3, "", one.stderr)
    real = finished([*PROGRAM, "restore", sshd.destination(target), "out", *options, "--quiet", *login(sshd)])
    assert (real.returncode, one.stderr in real.stderr) == (3, True)
    assert foreseen(sshd, target, "--all", *options, "--outside-links").returncode == 0


def test_where_no_member_of_any_archive_would_come_nothing_would_be_done(
    sshd: Sshd, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "links").mkdir()
    for name in ("one", "two"):
        (tmp_path / "links" / name).symlink_to("/etc")
    assert finished(backup_command(sshd, tmp_path / "links", to=target)).returncode == 0
    where = ["--all", "--to", str(tmp_path / "back")]
    assert foreseen(sshd, target, *where).returncode == 1
    assert finished([*PROGRAM, "restore", sshd.destination(target), *where, *login(sshd)]).returncode == 1


def test_a_source_of_which_nothing_is_wanted_is_not_looked_for(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    for name, file in (("one", "a.jpg"), ("two", "b.txt")):
        (tmp_path / name / "dir").mkdir(parents=True)
        (tmp_path / name / "dir" / file).write_text(name)
    assert finished(backup_command(sshd, tmp_path / "one", str(tmp_path / "two"), to=target)).returncode == 0
    (tmp_path / "back").mkdir()
    (tmp_path / "back/two").symlink_to(tmp_path / "two")
    done = foreseen(sshd, target, "--all", "--include", "*.jpg", "--to", str(tmp_path / "back"))
    assert (done.returncode, done.stderr) == (0, "")
    done = foreseen(sshd, target, "--all", "--include", "*.*", "--to", str(tmp_path / "back"))
    assert (done.returncode, done.stderr.count("nothing is written through one")) == (3, 1)


def test_an_index_that_cannot_be_read_is_an_error_of_its_archive(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    [archive] = target.glob("wiki-*.tar.gz")
    archive.write_bytes(with_records_cut_short(archive.read_bytes()))
    where = ["--to", str(tmp_path / "back")]
    one = foreseen(sshd, target, "wiki", *where)
    assert (one.returncode, "its index cannot be read" in one.stderr) == (1, True)
    every = foreseen(sshd, target, "--all", *where)
    assert (every.returncode, every.stdout.count("would restore")) == (3, 1)
    assert source.exists()


async def lines_of(store: MemoryStore, target: Path, is_stopped: Callable[[], bool], **options: Any) -> ForeseenLines:
    """Those of the only archive, before they are looked at."""
    archive = (await read_catalog(store, NameParser())).find(NAME)
    found = await looking.foresee(store, archive, RestoreSettings(HERE, NAME, target, limits=LIMITS, **options))
    return ForeseenLines(found, ignore, is_stopped)


@pytest.mark.anyio
async def test_it_ends_where_it_is_stopped_whatever_there_is_to_tell(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    for number in range(20):
        (tmp_path / f"entry/{number}").symlink_to("/etc")
    store, asked = store_of(archive_of(tmp_path / "entry")), list[int]()

    def is_stopped() -> bool:
        asked.append(1)
        return len(asked) > 5

    told = await lines_of(store, tmp_path / "back", is_stopped)
    assert list(told.lines(is_quiet=True)) == []
    assert (told.coming, told.lost) == (1, 4)


@pytest.mark.anyio
async def test_a_target_that_cannot_be_read_any_more_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "entry").mkdir()
    told = await lines_of(store_of(archive_of(tmp_path / "entry")), tmp_path / "back", lambda: False)
    (tmp_path / "back").write_text("no directory")
    with pytest.raises(RestoreError, match="it cannot be restored here: Not a directory"):
        list(told.json_lines())


@pytest.mark.usefixtures("source")
def test_quietly_only_trouble_is_told(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    done = foreseen(sshd, target, "wiki", "--to", str(tmp_path / "back"), "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    none = foreseen(sshd, target, "--all", "--include", "*.odt", "--to", str(tmp_path / "back"), "--quiet")
    assert (none.returncode, none.stderr) == (1, "error: nothing in 2 archives is left by --include '*.odt'\n")


@pytest.mark.usefixtures("source")
def test_of_an_archive_without_an_index_nothing_is_known_before_it_is_read(
    sshd: Sshd, target: Path, tmp_path: Path
) -> None:
    [archive] = target.glob("mail-*.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-1])
    done = foreseen(sshd, target, "mail", "--to", str(tmp_path / "back"))
    assert done.returncode == 1
    assert "what it would bring is not known before all of it is read" in done.stderr


@pytest.mark.anyio
async def test_an_error_of_the_system_is_told_as_a_restore_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_free(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(looking, "check_free", check_free)
    (tmp_path / "entry").mkdir()
    store = store_of(archive_of(tmp_path / "entry"))
    archive = (await read_catalog(store, NameParser())).find(b"entry")
    with pytest.raises(RestoreError, match="it cannot be restored here: Too many open files"):
        await looking.foresee(store, archive, RestoreSettings(HERE, b"entry", tmp_path, limits=LIMITS))
