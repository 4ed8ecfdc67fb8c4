"""Every entry comes back by its newest archive, and what is wrong with one costs no other."""

from __future__ import annotations

import errno
import json
import os
import resource
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from anyio import Event, create_task_group, fail_after, move_on_after, sleep_forever

from async_backup.errors import ConnectionDropped, ExitCode, NotInArchive, RemoteNotFound
from async_backup.restoring import everything, foreseen
from async_backup.restoring.everything import RestoreAll
from async_backup.restoring.model import (
    AllStarted,
    BytesRestored,
    RestoreEnded,
    RestoreEvent,
    RestoreSettings,
    RestoreStarted,
    Which,
)
from async_backup.unpack.rules import Overwrite
from tests.archives import make_archive
from tests.command import PROGRAM, backup_command, finished, login
from tests.restores import HERE, LIMITS, in_this_process, info, tar_gz, tree
from tests.shelf import Shelf, at

if TYPE_CHECKING:
    from datetime import datetime

    from async_backup.remote.memory import MemoryReader
    from async_backup.restoring.model import AllReport
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio


@cache
def archive(entry: str, content: str, name: str = "file") -> bytes:
    """An archive of an entry that is a directory with one file."""
    with TemporaryDirectory() as directory:
        source = Path(directory)
        (source / entry).mkdir()
        (source / entry / name).write_text(content)
        return make_archive(source, entry.encode(), source / "archive").data()


@pytest.fixture
def shelf() -> Shelf:
    """Two entries with two archives each, one of another source, and a file of somebody else."""
    shelf = Shelf()
    for day in (1, 2):
        shelf.put_archive("wiki", at(day), content=archive("wiki", f"wiki of day {day}"))
        shelf.put_archive("mail", at(day + 2), content=archive("mail", f"mail of day {day + 2}"))
    shelf.put_archive("wiki", at(1), content=archive("wiki", "wiki of another source"), directory=b"other")
    shelf.put(b"/backups/theirs.tar.gz", b"what is this?")
    return shelf


async def restored(
    shelf: Shelf,
    target: Path,
    as_of: datetime | None = None,
    events: list[RestoreEvent] | None = None,
    *,
    entries: tuple[bytes, ...] = (),
    at_once: int = 1,
    **options: Any,
) -> AllReport:
    settings = RestoreSettings(HERE, b"*", target, limits=LIMITS, **options)
    noted = list[RestoreEvent]() if events is None else events
    running = RestoreAll(settings, Which(entries, as_of), noted.append, in_this_process, Event(), at_once=at_once)
    await running.run(shelf)
    return running.report(1.0)


def files(target: Path) -> dict[str, bytes | str]:
    return {path: content for path, content in tree(target).items() if path.endswith("file")}


async def test_the_newest_of_each_comes_back_those_of_a_source_in_a_directory_of_their_own(
    shelf: Shelf, tmp_path: Path
) -> None:
    report = await restored(shelf, tmp_path / "target")
    assert (report.exit_code, report.whole, report.left) == (ExitCode.COMPLETE, 3, ())
    assert {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("file")} == {
        "target/wiki/file": "wiki of day 2",
        "target/mail/file": "mail of day 4",
        "target/other/wiki/file": "wiki of another source",
    }


async def test_the_newest_before_a_moment(shelf: Shelf, tmp_path: Path) -> None:
    report = await restored(shelf, tmp_path / "target", as_of=at(2))
    assert report.exit_code == ExitCode.COMPLETE
    assert (tmp_path / "target/wiki/file").read_text() == "wiki of day 1"
    assert not (tmp_path / "target/mail").exists()


async def test_some_entries_come_back_and_no_other(shelf: Shelf, tmp_path: Path) -> None:
    report = await restored(shelf, tmp_path / "target", entries=(b"mail", b"other/wiki"))
    assert (report.exit_code, report.whole) == (ExitCode.COMPLETE, 2)
    assert set(files(tmp_path / "target")) == {"mail/file", "other/wiki/file"}


async def test_patterns_pick_from_every_archive_and_one_with_nothing_of_it_is_no_trouble(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.put_archive("pictures", at(3), content=archive("pictures", "a picture", "b.jpg"))
    report = await restored(shelf, tmp_path / "target", include=("*.jpg",))
    assert (report.exit_code, report.whole, report.unwanted) == (ExitCode.COMPLETE, 1, 3)
    assert [path.relative_to(tmp_path / "target").as_posix() for path in (tmp_path / "target").rglob("*.*")] == [
        "pictures/b.jpg"
    ]
    assert sorted(os.listdir(tmp_path / "target")) == ["pictures"]
    (tmp_path / "again/other").mkdir(parents=True)
    await restored(shelf, tmp_path / "again", include=("*.jpg",))
    assert sorted(os.listdir(tmp_path / "again")) == ["other", "pictures"]  # which was there before


async def test_patterns_that_leave_nothing_in_any_archive_are_an_error(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(b"/backups/theirs-2026-01-01T000000.tar.gz", tar_gz((info("theirs/b"), b"1")))
    with pytest.raises(NotInArchive, match=r"nothing in 4 archives is left by --include '\*.odt'"):
        await restored(shelf, tmp_path / "target", include=("*.odt",))
    assert not (tmp_path / "target").exists()


async def test_no_directory_is_left_where_nothing_came_not_even_after_an_interrupt(
    shelf: Shelf, tmp_path: Path
) -> None:
    with pytest.raises(NotInArchive):
        await restored(shelf, tmp_path / "new/er/target", include=("*.odt",))
    assert not (tmp_path / "new").exists()

    class Stuck(Shelf):
        async def open(self, path: bytes) -> MemoryReader:
            assert (tmp_path / "new/target/other").is_dir()
            await sleep_forever()
            raise AssertionError(path)

    shelf = Stuck()
    shelf.put_archive("wiki", at(1), content=archive("wiki", "wiki" * 100_000), directory=b"other")
    with move_on_after(0.1):
        await restored(shelf, tmp_path / "new/target", include=("*.odt",))
    assert not (tmp_path / "new").exists()


async def test_a_link_in_the_place_of_a_source_is_told_whatever_is_behind_it(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/wiki").mkdir(parents=True)
    (tmp_path / "elsewhere/wiki/file").write_text("mine")
    (tmp_path / "target").mkdir()
    (tmp_path / "target/other").symlink_to(tmp_path / "elsewhere")
    report = await restored(shelf, tmp_path / "target", include=("file",))
    [error] = [str(one.error) for one in report.reports if one.error]
    assert "is a symbolic link, and nothing is written through one" in error


async def test_a_source_of_which_nothing_is_wanted_is_not_hindered_by_what_is_in_its_place(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.put_archive("pictures", at(3), content=archive("pictures", "a picture", "b.jpg"))
    shelf.put(b"/backups/other/theirs-2026-01-01T000000.tar.gz", tar_gz((info("theirs/b"), b"1")))
    (tmp_path / "target").mkdir()
    (tmp_path / "target/other").write_text("in the way")
    report = await restored(shelf, tmp_path / "target", include=("*.jpg",))
    told = {one.archive: str(one.error or "") for one in report.reports}
    assert (report.whole, report.unwanted) == (1, 3)
    assert "is not a directory" in told.pop(b"other/theirs-2026-01-01T000000.tar.gz")  # nobody knows what is in it
    assert set(told.values()) == {""}
    assert (tmp_path / "target/other").read_text() == "in the way"


async def test_that_patterns_leave_nothing_is_no_word_on_archives_that_failed(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put_archive("mail", at(1), content=archive("mail", "letters"))
    shelf.put_archive("wiki", at(1), content=b"no archive at all")
    report = await restored(shelf, tmp_path / "target", include=("*.odt",))
    assert (report.exit_code, report.whole) == (ExitCode.NOTHING_DONE, 0)
    assert [one.archive.startswith(b"wiki-") for one in report.reports if one.error] == [True]


async def test_a_target_whose_name_is_too_long_is_an_error_of_each_archive(shelf: Shelf, tmp_path: Path) -> None:
    report = await restored(shelf, tmp_path / ("n" * 300))
    assert (report.exit_code, report.whole) == (ExitCode.NOTHING_DONE, 0)
    assert all("name too long" in str(one.error).lower() for one in report.reports)


async def test_archives_with_nothing_in_them_are_restored_without_a_word(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put_archive("wiki", at(1), content=tar_gz())
    report = await restored(shelf, tmp_path / "target")
    assert (report.exit_code, report.whole) == (ExitCode.COMPLETE, 1)


@pytest.mark.parametrize(
    ("entries", "as_of", "says"),
    [
        ((b"mail", b"wikki"), None, "no archive of wikki; did you mean wiki"),
        ((b"wiki", b"mail"), at(2), "no archive of ours from before .* of mail"),
        ((b"wiki@2024",), None, "leave out @2024"),
        ((b"wiki", b"theirs.tar.gz"), None, "no archive of ours of theirs.tar.gz"),
    ],
)
async def test_an_entry_that_is_named_and_has_none_is_told_before_anything_is_written(
    shelf: Shelf, tmp_path: Path, entries: tuple[bytes, ...], as_of: datetime | None, says: str
) -> None:
    with pytest.raises(RemoteNotFound, match=says):
        await restored(shelf, tmp_path / "target", as_of=as_of, entries=entries)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("as_of", [None, at(1)])
async def test_where_there_is_none_it_says_so_and_makes_nothing(tmp_path: Path, as_of: datetime | None) -> None:
    shelf = Shelf()
    if as_of:
        shelf.put_archive("wiki", at(1))
    with pytest.raises(RemoteNotFound, match="no archive of ours"):
        await restored(shelf, tmp_path / "target", as_of=as_of)
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_archive_costs_no_other(shelf: Shelf, tmp_path: Path) -> None:
    whole = archive("wiki", "wiki of day 9")
    shelf.put_archive("wiki", at(9), content=whole[:20] + b"\0" * 20 + whole[40:])
    report = await restored(shelf, tmp_path / "target")
    assert (report.exit_code, report.whole) == (ExitCode.INCOMPLETE, 2)
    assert [one.archive for one in report.reports if one.exit_code] == [b"wiki-2024-05-09T031500.tar.gz"]
    assert (tmp_path / "target/mail/file").read_text() == "mail of day 4"
    assert not (tmp_path / "target/wiki/file").exists()


async def test_nor_does_one_whose_files_are_there_already(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "target/mail").mkdir(parents=True)
    (tmp_path / "target/mail/file").write_text("mine")
    report = await restored(shelf, tmp_path / "target")
    assert (report.exit_code, report.whole) == (ExitCode.INCOMPLETE, 2)
    assert (tmp_path / "target/mail/file").read_text() == "mine"
    again = await restored(shelf, tmp_path / "target", overwrite=Overwrite.ALWAYS)
    assert (again.exit_code, again.whole) == (ExitCode.COMPLETE, 3)
    assert (tmp_path / "target/mail/file").read_text() == "mail of day 4"


async def test_an_entry_and_a_source_of_one_name_are_not_mixed(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put_archive("file", at(1), content=archive("file", "of a source"), directory=b"wiki")
    report = await restored(shelf, tmp_path / "target", overwrite=Overwrite.ALWAYS)
    assert (report.exit_code, report.whole) == (ExitCode.INCOMPLETE, 3)
    assert [one.archive for one in report.reports if one.error] == [b"wiki/file-2024-05-01T031500.tar.gz"]
    assert (tmp_path / "target/wiki/file").read_text() == "wiki of day 2"


async def test_nothing_is_written_through_a_link_that_stands_where_a_source_goes(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "target/other").symlink_to(tmp_path / "elsewhere")
    report = await restored(shelf, tmp_path / "target", overwrite=Overwrite.ALWAYS)
    assert (report.exit_code, report.whole) == (ExitCode.INCOMPLETE, 2)
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_nor_through_one_that_another_archive_brings_meanwhile(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "harm").mkdir()
    (tmp_path / "harm/other").symlink_to(tmp_path / "elsewhere")
    link = make_archive(tmp_path / "harm", b"other", tmp_path / "harm/archive").data()
    shelf.put_archive("a", at(9), content=link)
    report = await restored(shelf, tmp_path / "target", at_once=8, outside_links=True)
    assert [one.archive for one in report.reports if one.error] == [b"a-2024-05-09T031500.tar.gz"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "target/other/wiki/file").read_text() == "wiki of another source"


async def test_an_error_of_the_system_costs_one_archive(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [OSError(errno.EMFILE, "Too many open files")]

    def check_free(*_: object) -> None:
        if errors:
            raise errors.pop()

    monkeypatch.setattr(foreseen, "check_free", check_free)
    (tmp_path / "target").mkdir()
    report = await restored(shelf, tmp_path / "target", at_once=8)
    assert (report.exit_code, report.whole) == (ExitCode.INCOMPLETE, 2)
    assert ["Too many open files" in str(one.error) for one in report.reports if one.error] == [True]


@pytest.mark.parametrize(("limit", "most"), [(1024, 44), (256, 6), (64, 1), (resource.RLIM_INFINITY, 64)])
def test_no_more_are_under_way_than_files_may_be_open(monkeypatch: pytest.MonkeyPatch, limit: int, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert everything._at_once(64) == most


async def test_archives_without_an_index_share_a_directory_that_was_empty(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put_archive("wiki", at(9), content=archive("wiki", "wiki of day 9")[:-3])
    report = await restored(shelf, tmp_path / "target", salvage=True)
    assert report.exit_code == ExitCode.INCOMPLETE
    assert (tmp_path / "target/wiki/file").read_text() == "wiki of day 9"
    assert (tmp_path / "target/mail/file").read_text() == "mail of day 4"


async def test_nothing_at_all_restored_is_an_exit_code_of_its_own(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put_archive("wiki", at(1), content=b"no archive at all")
    assert (await restored(shelf, tmp_path / "target")).exit_code == ExitCode.NOTHING_DONE


async def test_without_a_server_the_rest_is_left_and_named(tmp_path: Path) -> None:
    shelf = Shelf(faults={"open": [None, ConnectionDropped("gone")]})
    for entry in ("a", "b", "c"):
        shelf.put_archive(entry, at(1), content=archive(entry, entry))
    report = await restored(shelf, tmp_path / "target")
    assert (report.exit_code, report.whole) == (ExitCode.INCOMPLETE, 1)
    assert [str(one.error) for one in report.reports if one.error] == ["gone"]
    assert report.left == (b"c-2024-05-01T031500.tar.gz",)
    assert shelf.unused_faults == 0


@pytest.mark.parametrize("at_once", [1, 8])
async def test_stopped_in_the_midst_of_it_what_is_whole_stays(shelf: Shelf, tmp_path: Path, at_once: int) -> None:
    stop, events = Event(), list[Any]()

    def listen(event: RestoreEvent) -> None:
        events.append(event)
        if isinstance(event, RestoreEnded):
            stop.set()
            tasks.cancel_scope.cancel()

    settings = RestoreSettings(HERE, b"*", tmp_path / "target", limits=LIMITS)
    running = RestoreAll(settings, Which(), listen, in_this_process, stop, at_once=at_once)
    with fail_after(10):
        async with create_task_group() as tasks:
            await running.run(shelf)
    report = running.report(1.0)
    assert report.exit_code == ExitCode.INTERRUPTED
    told = [event.report for event in events if isinstance(event, RestoreEnded)]
    assert list(report.reports) == told
    assert told[0].exit_code == ExitCode.COMPLETE
    assert len(told) + len(report.left) == 3
    if at_once == 1:
        assert [one.archive.partition(b"-")[0] for one in told] == [b"mail"]
        assert files(tmp_path / "target") == {"mail/file": b"mail of day 4"}
    texts = {"wiki of day 2", "mail of day 4", "wiki of another source"}
    assert {path.read_text() for path in (tmp_path / "target").rglob("file")} <= texts
    assert not [path for path in (tmp_path / "target").rglob("*") if ".restore-" in path.name]


async def test_many_are_restored_at_once_and_what_is_said_of_each_stands_together(tmp_path: Path) -> None:
    shelf, events = Shelf(), list[Any]()
    names = [f"entry{number:02d}" for number in range(40)]
    for name in names:
        shelf.put_archive(name, at(1), content=archive(name, name))
    whole = archive("entry07", "entry07")
    damaged = shelf.put_archive("entry07", at(2), content=whole[:20] + b"\0" * 20 + whole[40:])
    report = await restored(shelf, tmp_path / "target", events=events, at_once=8, salvage=True)
    assert (report.exit_code, report.whole, report.left) == (ExitCode.INCOMPLETE, 39, ())
    assert files(tmp_path / "target") == {f"{name}/file": name.encode() for name in names if name != "entry07"}
    told = [event for event in events if not isinstance(event, BytesRestored)][1:]
    while told:
        assert isinstance(told[0], RestoreStarted)
        end = next(place for place, event in enumerate(told) if isinstance(event, RestoreEnded))
        said, told = told[: end + 1], told[end + 1 :]
        assert {event.archive for event in said if isinstance(event, RestoreStarted)} == {said[-1].report.archive}
        assert (len(said) > 2) == (said[-1].report.archive == damaged)


async def test_the_bytes_told_of_add_up_whatever_becomes_of_an_archive(shelf: Shelf, tmp_path: Path) -> None:
    events = list[Any]()
    shelf.put_archive("wiki", at(9), content=b"no archive at all")
    shelf.put_archive("cut", at(9), content=archive("wiki", "wiki")[:300])
    await restored(shelf, tmp_path / "target", events=events, at_once=8)
    (began,) = (event for event in events if isinstance(event, AllStarted))
    assert sum(event.stored for event in events if isinstance(event, BytesRestored)) == began.size


async def test_a_server_that_goes_is_an_error_of_one_and_the_others_are_left(tmp_path: Path) -> None:
    shelf = Shelf(faults={"open": [None, *[ConnectionDropped("gone")] * 30]})
    for number in range(20):
        shelf.put_archive(f"a{number}", at(1), content=archive(f"a{number}", "text"))
    report = await restored(shelf, tmp_path / "target", at_once=8)
    assert report.exit_code == ExitCode.INCOMPLETE
    assert [str(one.error) for one in report.reports if one.error] == ["gone"]
    assert len(report.reports) + len(report.left) == 20
    assert report.whole == 1


async def test_what_is_told_on_the_way(shelf: Shelf, tmp_path: Path) -> None:
    events = list[Any]()
    await restored(shelf, tmp_path / "target", events=events)
    texts = ("wiki", "wiki of day 2"), ("mail", "mail of day 4"), ("wiki", "wiki of another source")
    assert events[0] == AllStarted(3, sum(len(archive(entry, text)) for entry, text in texts))
    assert [event.report.archive for event in events if isinstance(event, RestoreEnded)] == [
        b"mail-2024-05-04T031500.tar.gz",
        b"other/wiki-2024-05-01T031500.tar.gz",
        b"wiki-2024-05-02T031500.tar.gz",
    ]


class TestCommand:
    """Against a real server."""

    @pytest.fixture
    def command(self, sshd: Sshd, tmp_path: Path) -> list[str]:
        """What restores all of two backups of two sources, into a directory that follows."""
        for number, source in enumerate(("one", "two")):
            (tmp_path / source / "entry").mkdir(parents=True)
            (tmp_path / source / "entry/file").write_text(f"of {number}")
        done = finished(backup_command(sshd, tmp_path / "one", str(tmp_path / "two"), to=tmp_path / "backups"))
        assert done.returncode == 0
        return [*PROGRAM, "restore", sshd.destination(tmp_path / "backups"), *login(sshd), "--all", "--to"]

    def test_all_sources_come_back(self, command: list[str], tmp_path: Path) -> None:
        done = finished([*command, str(tmp_path / "back")])
        assert done.returncode == 0
        assert f"2 archives restored to {tmp_path}/back: 8 B" in done.stdout
        assert done.stderr == ""
        for source in ("one", "two"):
            assert tree(tmp_path / "back" / source) == tree(tmp_path / source)

    def test_what_a_program_reads_of_it(self, command: list[str], tmp_path: Path) -> None:
        done = finished([*command, str(tmp_path / "back"), "--json"])
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert [event["event"] for event in events if event["event"] != "bytes_restored"] == [
            "all_started",
            *["restore_started", "restore_ended"] * 2,
            "all_ended",
        ]
        assert events[-1] | {"time": "", "seconds": 0} == {
            "event": "all_ended",
            "time": "",
            "exit_code": 0,
            "left": [],
            "is_interrupted": False,
            "seconds": 0,
        }

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--as-of", "yesterday"], "is not a time"),
            (["--as-of", "2001"], "no archive of ours from before 2002-01-01"),
        ],
    )
    def test_a_time_that_helps_nobody(
        self, command: list[str], tmp_path: Path, arguments: list[str], says: str
    ) -> None:
        done = finished([*command, str(tmp_path / "back"), *arguments])
        assert done.returncode in {1, 2}
        assert says in done.stderr
        assert not (tmp_path / "back").exists()

    def test_one_that_is_named_comes_back_alone(self, command: list[str], tmp_path: Path) -> None:
        done = finished([*command, str(tmp_path / "back"), "one/entry"])
        assert done.returncode == 0
        assert os.listdir(tmp_path / "back") == ["one"]

    def test_a_time_goes_with_all_of_them(self, sshd: Sshd, tmp_path: Path) -> None:
        arguments = ["one/entry", "--as-of", "2026", "--to", str(tmp_path / "back")]
        done = finished([*PROGRAM, "restore", sshd.destination(tmp_path), *arguments])
        assert done.returncode == 2
        assert "--all" in done.stderr
