"""Pruning: the policy decides, and above it stand the rules that keep it from doing harm."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from anyio import Event
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.index import Footer
from async_backup.catalog import StoredArchive
from async_backup.endings import Ending
from async_backup.errors import ConnectionDropped, ExitCode, RemoteDenied, RemoteError, RemoteNotFound, SettingsError
from async_backup.pruning.model import (
    ArchiveJudged,
    ArchiveRemoved,
    ArchiveUnjudged,
    OrphanRemoved,
    PruneEvent,
    PruneReport,
    PruneSettings,
    RemovalFailed,
)
from async_backup.pruning.plan import NEWEST_VERIFIED, judge
from async_backup.pruning.prune import prune
from async_backup.retention import KeepRules
from async_backup.ui.lines import NORMAL, QUIET, VERBOSE
from async_backup.ui.pruning import PrunePrinter
from tests.shelf import BASE, Shelf, archive_name, at, whole_archive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.remote.base import RemoteEntry
    from async_backup.remote.memory import MemoryReader

pytestmark = pytest.mark.anyio

LAST = KeepRules(last=1)
NOW = at(30)


class Told(list[PruneEvent]):
    """All events of a prune."""

    def removed(self) -> set[bytes]:
        return {event.path for event in self if isinstance(event, ArchiveRemoved)}

    def unjudged(self) -> list[bytes]:
        return [event.path for event in self if isinstance(event, ArchiveUnjudged)]

    def failed(self) -> list[bytes]:
        return [event.path for event in self if isinstance(event, RemovalFailed)]

    def judged(self) -> dict[bytes, ArchiveJudged]:
        return {event.path: event for event in self if isinstance(event, ArchiveJudged)}


async def pruned(
    shelf: Shelf,
    rules: KeepRules = LAST,
    *,
    entries: tuple[bytes, ...] = (),
    dry_run: bool = False,
    told: Told | None = None,
) -> PruneReport:
    listener = told.append if told is not None else Told().append
    return await prune(shelf, PruneSettings(rules, entries, dry_run=dry_run), listener, now=NOW)


def checksum(archive: bytes, algorithm: str = "md5") -> bytes:
    return archive + b"." + algorithm.encode()


async def test_what_no_rule_keeps_goes_with_all_its_checksum_files() -> None:
    shelf = Shelf()
    for day in range(1, 10):
        shelf.put_archive("wiki", at(day), hashes=("md5", "sha256"))
    kept = [archive_name("wiki", at(day)) for day in (7, 8, 9)]
    report = await pruned(shelf, KeepRules(daily=3))
    assert (report.archives, report.doomed, report.removed, report.failed) == (9, 6, 6, 0)
    assert report.freed == report.doomed_size == 6 * len(whole_archive())
    assert shelf.names == {name for path in kept for name in (path, checksum(path), checksum(path, "sha256"))}


async def test_each_entry_and_each_directory_is_judged_alone() -> None:
    shelf = Shelf()
    places = [("wiki", b""), ("wiki", b"srv"), ("wiki-old", b""), ("mail", b"srv")]
    for entry, directory in places:
        for day in (1, 2):
            shelf.put_archive(entry, at(day), directory=directory)
    await pruned(shelf)
    left = {name for name in shelf.names if name.endswith(b".tar.gz")}
    assert left == {(where + b"/" if where else b"") + archive_name(entry, at(2)) for entry, where in places}


async def test_only_the_entries_that_were_named_lose_anything() -> None:
    shelf = Shelf()
    for entry in ("wiki", "mail"):
        for day in (1, 2):
            shelf.put_archive(entry, at(day))
    before = shelf.names
    await pruned(shelf, entries=(b"wiki",))
    gone = archive_name("wiki", at(1))
    assert shelf.names == before - {gone, checksum(gone)}


async def test_an_unknown_entry_is_an_error_and_nothing_is_removed() -> None:
    shelf = Shelf()
    for day in (1, 2):
        shelf.put_archive("wiki", at(day))
    before = shelf.names
    with pytest.raises(RemoteNotFound, match="did you mean wiki"):
        await pruned(shelf, entries=(b"wikki",))
    assert shelf.names == before


def test_without_any_rule_there_is_no_prune() -> None:
    with pytest.raises(SettingsError, match="--keep-daily"):
        PruneSettings(KeepRules())


async def test_a_dry_run_tells_everything_and_removes_nothing() -> None:
    shelf, told = Shelf(), Told()
    old, new = (shelf.put_archive("wiki", at(day)) for day in (1, 2))
    before = shelf.names
    report = await pruned(shelf, dry_run=True, told=told)
    assert {path: judged.stays for path, judged in told.judged().items()} == {old: False, new: True}
    assert (report.doomed, report.removed, report.exit_code) == (1, 0, ExitCode.COMPLETE)
    assert shelf.names == before
    assert "remove" not in shelf.requests


async def test_the_newest_verified_archive_of_an_entry_stays_whatever_the_rules_say() -> None:
    shelf, told = Shelf(), Told()
    oldest, verified = shelf.put_archive("wiki", at(1)), shelf.put_archive("wiki", at(2))
    unverified = shelf.put_archive("wiki", at(3), hashes=())
    await pruned(shelf, told=told)
    assert told.judged()[verified].reasons == (NEWEST_VERIFIED,)
    assert told.removed() == {oldest}
    assert shelf.names == {verified, checksum(verified), unverified}


async def test_where_no_archive_is_verified_the_newest_stays() -> None:
    shelf = Shelf()
    for day in (1, 2, 3):
        shelf.put_archive("wiki", at(day), hashes=())
    await pruned(shelf)
    assert shelf.names == {archive_name("wiki", at(3))}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(whole_archive()[:-7], id="cut"),
        pytest.param(b"\x1f\x8b" + bytes(400), id="made by something else"),
        pytest.param(b"more" + whole_archive(), id="put together"),
    ],
)
async def test_what_has_no_whole_footer_of_ours_is_never_touched_and_counts_for_no_rule(content: bytes) -> None:
    shelf, told = Shelf(), Told()
    ours = shelf.put_archive("wiki", at(1))
    for day in (2, 3):
        shelf.put_archive("wiki", at(day), content=content)
    before = shelf.names
    report = await pruned(shelf, told=told)
    assert sum(bool(judged.problem) for judged in told.judged().values()) == 2
    assert told.judged()[ours].reasons == ("last",)
    assert report.exit_code == ExitCode.COMPLETE
    assert shelf.names == before


async def test_an_archive_whose_end_cannot_be_read_is_kept_and_named() -> None:
    shelf, told = Shelf(faults={"open": [RemoteDenied("memory: not yours")]}), Told()
    for day in (1, 2):
        shelf.put_archive("wiki", at(day))
    before = shelf.names
    report = await pruned(shelf, told=told)
    assert [(judged.problem, judged.is_unreadable) for judged in told.judged().values() if judged.problem] == [
        ("its end cannot be read: memory: not yours", True)
    ]
    assert (report.exit_code, report.unreadable) == (ExitCode.INCOMPLETE, 1)
    assert shelf.names == before


async def test_a_single_archive_is_not_named_here() -> None:
    shelf = Shelf()
    path = shelf.put_archive("wiki", at(1))
    for name, words in ((path, "name its entry here: wiki"), (b"wiki@2024-05-02", "leave out @2024-05-02: wiki")):
        with pytest.raises(RemoteNotFound, match=words):
            await pruned(shelf, entries=(name,))


async def test_an_entry_is_found_by_the_name_that_is_shown() -> None:
    shelf = Shelf()
    old, new = (shelf.put_archive("latin\udce9", at(day)) for day in (1, 2))
    other = shelf.put_archive(r"latin\xe8", at(1))
    await pruned(shelf, entries=(rb"latin\xe9", rb"latin\xe8"))
    archives = {name for name in shelf.names if name.endswith(b".tar.gz")}
    assert archives == {new, other}
    assert old == b"latin\xe9-2024-05-01T031500.tar.gz"


async def test_a_lost_connection_while_looking_ends_it_before_anything_is_removed() -> None:
    shelf = Shelf(faults={"open": [None, ConnectionDropped("memory: lost")]})
    for day in (1, 2, 3):
        shelf.put_archive("wiki", at(day))
    before = shelf.names
    with pytest.raises(ConnectionDropped):
        await pruned(shelf)
    assert shelf.names == before


async def test_strangers_and_unfinished_files_are_none_of_its_business() -> None:
    shelf = Shelf()
    others = [
        b"notes.txt",
        b"wiki.tar.gz",
        b"wiki-2024.tar.gz",
        b"wiki-2024-05-01T031500.zip",
        b".wiki-2024-05-01T031500.tar.gz.00000000-00000000-1-1-00000000.part",
    ]
    for name in others:
        shelf.put(BASE + name, whole_archive())
    gone, kept = (shelf.put_archive("wiki", at(day)) for day in (1, 2))
    await pruned(shelf)
    assert gone not in shelf.names
    assert shelf.names == {*others, kept, checksum(kept)}


async def test_archives_from_the_future_stay_and_take_no_place() -> None:
    shelf, told = Shelf(), Told()
    old, new, future = (shelf.put_archive("wiki", when) for when in (at(1), at(2), NOW + timedelta(minutes=1)))
    await pruned(shelf, told=told)
    assert {path: judged.reasons for path, judged in told.judged().items()} == {
        old: (),
        new: ("last",),
        future: ("future",),
    }
    assert shelf.names == {new, checksum(new), future, checksum(future)}


async def test_archives_whose_names_tell_no_time_are_named_and_count_for_no_rule() -> None:
    shelf, told = Shelf(), Told()
    gone, kept = (shelf.put_archive("wiki", at(day)) for day in (1, 2))
    others = [b"handmade.tar.gz", b"wiki-2024.tar.gz"]
    for name in others:
        shelf.put(BASE + name, whole_archive())
    report = await pruned(shelf, told=told)
    assert told.unjudged() == others
    assert (report.archives, report.unjudged, report.exit_code) == (2, 2, ExitCode.COMPLETE)
    assert told.removed() == {gone}
    assert shelf.names == {*others, kept, checksum(kept)}


async def test_only_those_of_the_entries_that_were_named_are_spoken_of() -> None:
    shelf, told = Shelf(), Told()
    shelf.put_archive("wiki", at(1))
    shelf.put(BASE + b"handmade.tar.gz", whole_archive())
    assert (await pruned(shelf, entries=(b"wiki",), told=told)).unjudged == 0
    assert told.unjudged() == []


async def test_what_is_no_entry_but_an_archive_that_tells_no_time_is_an_error() -> None:
    shelf = Shelf()
    for day in (1, 2):
        shelf.put_archive("wiki", at(day))
    shelf.put(BASE + b"handmade.tar.gz", whole_archive())
    before = shelf.names
    with pytest.raises(RemoteNotFound, match=r"handmade\.tar\.gz is an archive whose name tells no time"):
        await pruned(shelf, entries=(b"wiki", b"handmade.tar.gz"))
    assert shelf.names == before


async def printed(shelf: Shelf, verbosity: int, *, dry_run: bool = False, rules: KeepRules = LAST) -> list[str]:
    out: list[str] = []
    printer = PrunePrinter(out.append, out.append, verbosity, dry_run=dry_run)
    await prune(shelf, PruneSettings(rules, dry_run=dry_run), printer, now=NOW)
    return out


NOT_TOUCHED = "not touched: {}: its name tells no time (another --timestamp-format?)"


class TestWhatIsKeptApart:
    @pytest.fixture
    def shelf(self) -> Shelf:
        """One archive that tells no time, two of the future, one of now."""
        shelf = Shelf()
        for when in (at(1), NOW + timedelta(days=1), NOW + timedelta(days=2)):
            shelf.put_archive("wiki", when)
        shelf.put(BASE + b"hand\x1bmade.tar.gz", whole_archive())
        return shelf

    @pytest.mark.parametrize(("verbosity", "dry_run"), [(NORMAL, True), (VERBOSE, True), (VERBOSE, False)])
    async def test_it_is_named_where_everything_is(self, shelf: Shelf, verbosity: int, dry_run: bool) -> None:
        lines = await printed(shelf, verbosity, dry_run=dry_run)
        assert NOT_TOUCHED.format("hand\\x1bmade.tar.gz") in lines
        assert sum(line.endswith("  in the future") for line in lines) == 2
        assert not any("(-v" in line for line in lines)

    async def test_otherwise_it_is_counted(self, shelf: Shelf) -> None:
        assert await printed(shelf, NORMAL) == [
            "kept: 2 archives of the future, by the time in the name (-v shows which)",
            "1 archive whose name tells no time was not touched (-v names them)",
            "removed 0 of 3 archives, 0 B freed",
        ]

    async def test_quiet_does_not_speak_of_it(self, shelf: Shelf) -> None:
        assert await printed(shelf, QUIET) == []


async def test_the_reasons_of_the_oldest_are_explained_where_they_are_shown() -> None:
    shelf = Shelf()
    for hour in (1, 2):
        shelf.put_archive("wiki", at(1).replace(hour=hour))
    rules = KeepRules(daily=3, weekly=2)
    lines = await printed(shelf, NORMAL, dry_run=True, rules=rules)
    assert lines[-1] == "oldest daily, oldest weekly: kept since there are fewer than asked for"
    assert not any("oldest" in line for line in await printed(shelf, NORMAL, rules=rules))


async def test_a_crash_between_archive_and_checksum_file_is_mended_by_the_next_prune() -> None:
    shelf, told = Shelf(faults={"remove": [None, RemoteDenied("memory: no")]}), Told()
    gone, kept = (shelf.put_archive("wiki", at(day)) for day in (1, 2))
    report = await pruned(shelf, told=told)
    assert (report.removed, report.failed, report.exit_code) == (1, 1, ExitCode.INCOMPLETE)
    assert told.failed() == [checksum(gone)]
    assert shelf.names == {checksum(gone), kept, checksum(kept)}
    report = await pruned(shelf, told=told)
    assert (report.orphans_removed, report.exit_code) == (1, ExitCode.COMPLETE)
    assert shelf.names == {kept, checksum(kept)}


async def test_what_cannot_be_removed_is_named_and_the_others_go_on() -> None:
    shelf, told = Shelf(faults={"remove": [RemoteDenied("memory: no")]}), Told()
    for day in range(1, 6):
        shelf.put_archive("wiki", at(day))
    report = await pruned(shelf, told=told)
    (stuck,) = told.failed()
    assert (report.doomed, report.removed, report.failed, report.exit_code) == (4, 3, 1, ExitCode.INCOMPLETE)
    kept = archive_name("wiki", at(5))
    assert shelf.names == {stuck, checksum(stuck), kept, checksum(kept)}


async def test_when_the_server_is_gone_it_does_not_try_them_all() -> None:
    shelf, told = Shelf(faults={"remove": [ConnectionDropped("memory: lost")] * 500}), Told()
    for day in range(1, 29):
        for month in (1, 2, 3, 4):
            shelf.put_archive("wiki", at(day, month))
    before = shelf.names
    report = await pruned(shelf, told=told)
    assert (report.doomed, report.removed, report.exit_code) == (111, 0, ExitCode.INCOMPLETE)
    assert 1 <= len(told.failed()) < 50
    assert shelf.names == before


class TestOrphans:
    async def test_a_checksum_file_whose_archive_is_gone_goes_as_well(self) -> None:
        shelf, told = Shelf(), Told()
        kept = shelf.put_archive("wiki", at(2))
        orphans = {shelf.put_checksum(archive_name("wiki", at(1)), name) for name in ("md5", "sha512")}
        shelf.directories.add(BASE + b"srv")
        orphans.add(shelf.put_checksum(b"srv/" + archive_name("mail", at(1))))
        report = await pruned(shelf, told=told)
        assert {event.path for event in told if isinstance(event, OrphanRemoved)} == orphans
        assert (report.orphans_removed, report.removed) == (3, 0)
        assert shelf.names == {kept, checksum(kept)}

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            (b"wiki-2024-05-01T031500.tar.gz.md5", b""),
            (b"wiki-2024-05-01T031500.tar.gz.md5", b"0" * 32 + b"  wiki-2024-05-02T031500.tar.gz\n"),
            (b"wiki-2024-05-01T031500.tar.gz.md5", b"0" * 31 + b"  wiki-2024-05-01T031500.tar.gz\n"),
            (b"wiki-2024-05-01T031500.tar.gz.md5", b"0" * 32 + b"  wiki-2024-05-01T031500.tar.gz\nmore"),
            (b"wiki-2024-05-01T031500.tar.gz.md5", b"0" * 32 + b" *wiki-2024-05-01T031500.tar.gz\n"),
            (b"wiki-2024-05-01T031500.tar.gz.md5", bytes(100_000)),
            (b"photos-2019.tar.gz.md5", b"0" * 32 + b"  photos-2019.tar.gz\n"),
            (b"wiki-2024-05-01T031500.tar.gz.crc", b"0" * 32 + b"  wiki-2024-05-01T031500.tar.gz\n"),
        ],
    )
    async def test_what_is_not_just_our_line_about_that_archive_stays(self, name: bytes, content: bytes) -> None:
        shelf = Shelf()
        shelf.put_archive("wiki", at(2))
        shelf.put(BASE + name, content)
        before = shelf.names
        await pruned(shelf)
        assert shelf.names == before

    async def test_those_of_other_entries_than_named_stay(self) -> None:
        shelf = Shelf()
        shelf.put_archive("wiki", at(2))
        orphan, ours = (shelf.put_checksum(archive_name(entry, at(1))) for entry in ("mail", "wiki"))
        await pruned(shelf, entries=(b"wiki",))
        assert orphan in shelf.names
        assert ours not in shelf.names

    async def test_a_directory_with_the_name_of_one_is_left_alone(self) -> None:
        shelf, told = Shelf(), Told()
        shelf.put_archive("wiki", at(2))
        shelf.directories.add(BASE + checksum(archive_name("wiki", at(1))))
        assert (await pruned(shelf, told=told)).exit_code == ExitCode.COMPLETE
        assert told.failed() == []

    async def test_one_that_cannot_be_removed_is_named(self) -> None:
        shelf, told = Shelf(faults={"remove": [RemoteDenied("memory: no")]}), Told()
        shelf.put_archive("wiki", at(2))
        orphan = shelf.put_checksum(archive_name("wiki", at(1)))
        report = await pruned(shelf, told=told)
        assert (report.orphans_removed, report.exit_code) == (0, ExitCode.INCOMPLETE)
        assert told.failed() == [orphan]

    @pytest.mark.parametrize(
        ("error", "code"), [(RemoteDenied("no"), ExitCode.COMPLETE), (ConnectionDropped("gone"), ExitCode.INCOMPLETE)]
    )
    async def test_whether_its_archive_is_gone_that_cannot_be_told_keeps_it(
        self, error: RemoteError, code: ExitCode
    ) -> None:
        class Closed(Shelf):
            async def open(self, path: bytes) -> MemoryReader:
                if path.endswith(archive_name("wiki", at(1))):
                    raise error
                return await super().open(path)

        shelf = Closed()
        shelf.put_archive("wiki", at(2))
        orphan = shelf.put_checksum(archive_name("wiki", at(1)))
        assert (await pruned(shelf)).exit_code == code
        assert orphan in shelf.names

    async def test_an_archive_that_the_listing_missed_keeps_its_checksum_file(self) -> None:
        class Blind(Shelf):
            async def entries(self, path: bytes) -> Sequence[RemoteEntry]:
                return [entry for entry in await super().entries(path) if entry.name != archive_name("wiki", at(2))]

        shelf = Blind()
        for day in (1, 2):
            shelf.put_archive("wiki", at(day))
        before = shelf.names
        assert (await pruned(shelf)).exit_code == ExitCode.COMPLETE
        assert shelf.names == before


async def test_directories_that_lost_files_are_flushed_once_and_at_the_end() -> None:
    shelf = Shelf()
    for directory in (b"", b"srv", b"quiet"):
        for day in (1, 2, 3) if directory != b"quiet" else (1,):
            shelf.put_archive("wiki", at(day), directory=directory)
    await pruned(shelf)
    assert shelf.requests.count("sync_directory") == 2
    assert shelf.requests[-2:] == ["sync_directory"] * 2


async def test_stopped_it_ends_what_is_under_way_and_tells_the_rest() -> None:
    shelf, told, stop = Shelf(), Told(), Event()
    for month in (1, 2, 3, 4):
        for day in range(1, 29):
            shelf.put_archive("wiki", at(day, month))

    def stop_soon(event: PruneEvent) -> None:
        told.append(event)
        if isinstance(event, ArchiveRemoved):
            stop.set()

    report = await prune(shelf, PruneSettings(LAST), stop_soon, stop=stop, now=NOW)
    assert report.exit_code == ExitCode.INTERRUPTED
    assert 0 < report.removed == len(told.removed()) < report.doomed
    archives = {name for name in shelf.names if name.endswith(b".gz")}
    assert len(archives) == report.archives - report.removed
    assert shelf.names == archives | {checksum(name) for name in archives}


async def test_stopped_before_it_has_decided_it_removes_nothing() -> None:
    shelf, stop = Shelf(), Event()
    for day in (1, 2):
        shelf.put_archive("wiki", at(day))
    before = shelf.names
    stop.set()
    report = await prune(shelf, PruneSettings(LAST), stop=stop, now=NOW)
    assert report.exit_code == ExitCode.INTERRUPTED
    assert shelf.names == before


FOOTER = Footer(1, 1, 1, 1, 1, 1)
WHOLE, LACKING, CUT = Ending(FOOTER), Ending(FOOTER._replace(is_incomplete=True)), Ending(None, "cut")


@given(
    st.lists(
        st.tuples(st.integers(-48, 24 * 60), st.booleans(), st.sampled_from([WHOLE, WHOLE, LACKING, CUT])),
        min_size=1,
        max_size=30,
    ),
    st.builds(KeepRules, last=st.integers(0, 3), daily=st.integers(0, 3), monthly=st.integers(1, 2)),
)
def test_whatever_the_rules_the_newest_verified_one_stays_and_the_newest_that_lacks_nothing(
    drawn: list[tuple[int, bool, Ending]], rules: KeepRules
) -> None:
    archives, endings = [], {}
    for number, (hours, is_verified, ending) in enumerate(sorted(drawn, key=lambda one: one[0], reverse=True)):
        path = b"%d" % number
        hashes = ("md5",) if is_verified else ()
        archives.append(StoredArchive(path, b"wiki", NOW - timedelta(hours=hours), 1, 0.0, hashes))
        endings[path] = ending
    judged = {found.path: found for found in judge(archives, endings, rules, NOW)}
    assert all(judged[path].stays for path, ending in endings.items() if ending is CUT)
    assert all(judged[archive.path].stays for archive in archives if archive.when and archive.when > NOW)
    ours = [one for one in archives if endings[one.path] is not CUT and one.when and one.when <= NOW]
    verified = [archive for archive in ours if archive.checksums]
    whole = [archive for archive in ours if endings[archive.path] is WHOLE]
    complete = [archive for archive in whole if archive.checksums] or whole
    for newest in (verified or ours, complete):
        assert all(judged[archive.path].stays for archive in newest[-1:])


def test_no_name_reaches_the_terminal_raw() -> None:
    lines: list[str] = []
    printer = PrunePrinter(lines.append, lines.append, NORMAL, dry_run=True)
    name = b"a\nb\x1b[31m\xff"
    printer(ArchiveJudged(name, name, at(1), 1, stays=True, problem="cut"))
    printer(ArchiveRemoved(name, 1))
    printer(OrphanRemoved(name))
    printer(RemovalFailed(name, RemoteDenied(f"no {os.fsdecode(name)}")))
    assert all(line.isprintable() for line in lines)
    assert sum("a\\nb\\x1b[31m\\xff" in line for line in lines) == 5
