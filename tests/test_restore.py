"""What was backed up comes back: whole or in part, beside what is there already, and as far as it is undamaged."""

from __future__ import annotations

import os
import subprocess
import tarfile
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest
from anyio import Event, fail_after

from async_backup.archive.index import FOOTER_SIZE, PIECE, read_footer
from async_backup.errors import ConnectionDropped, DamagedArchive, RemoteNotFound, RestoreError, SettingsError
from async_backup.remote.memory import MemoryReader, MemoryStore
from async_backup.restoring.model import BytesRestored, RestoreStarted
from async_backup.unpack.disk import UNFINISHED, Disk
from async_backup.unpack.rules import Overwrite, Refused
from tests.archives import segments_of
from tests.everything import build_everything
from tests.restores import NAME, archive_of, info, restore_from, store_of, tar_gz, tree
from tests.trees import IS_ROOT, SEGMENT
from tests.verifications import forged, with_records_cut_short

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_backup.archive.index import Member
    from async_backup.restoring.model import RestoreEvent
    from tests.restores import Restored


pytestmark = pytest.mark.anyio

LARGE = Random(1).randbytes(3 * SEGMENT + 1000)
NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root may do that")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Several segments: small files, a large one, links of all kinds, an empty directory."""
    root = tmp_path / "source" / "entry"
    (root / "sub/deep").mkdir(parents=True)
    (root / "empty").mkdir()
    for number in range(20):
        (root / f"sub/file{number:02}").write_bytes(Random(number).randbytes(9000))
    (root / "large").write_bytes(LARGE)
    (root / "sub/deep/first").write_bytes(b"both names")
    (root / "sub/deep/second").hardlink_to(root / "sub/deep/first")
    (root / "sub/large again").hardlink_to(root / "large")
    (root / "link").symlink_to("sub/file00")
    (root / "sub").chmod(0o750)
    os.utime(root / "sub", ns=(1, 1_234_567_890_123_456_789))
    return root


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


async def test_all_comes_back(source: Path, target: Path) -> None:
    restored = await restore_from(store_of(archive_of(source)), target)
    assert restored.report.exit_code == 0
    assert restored.report.files == len(tree(source)) + 1
    assert tree(target / "entry") == tree(source)
    assert (target / "entry/sub").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (target / "entry/sub").stat().st_mode & 0o777 == 0o750
    assert os.path.samefile(target / "entry/sub/deep/first", target / "entry/sub/deep/second")
    assert os.path.samefile(target / "entry/large", target / "entry/sub/large again")


@NEEDS_ROOT
async def test_a_tree_with_everything_comes_back_as_it_was(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source/entry"
    source.mkdir(parents=True)
    build_everything(source)
    restored = await restore_from(
        store_of(archive_of(source)), target, devices=True, same_permissions=True, outside_links=True
    )
    command = ["rsync", "-naHAXi", "--delete", "--modify-window=-1", f"{source}/", f"{target}/entry/"]
    assert restored.report.issues == ()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
    holes = source / "holes"
    for path in holes.iterdir():
        assert (target / "entry/holes" / path.name).stat().st_blocks <= path.stat().st_blocks + 16


async def test_a_single_file_brings_nothing_else(source: Path, target: Path) -> None:
    restored = await restore_from(store_of(archive_of(source)), target, b"entry/sub/file07")
    assert tree(target) == {
        "entry": "/",
        "entry/sub": "/",
        "entry/sub/file07": (source / "sub/file07").read_bytes(),
    }
    (started,) = [event for event in restored.events if isinstance(event, RestoreStarted)]
    assert started.wanted_size < started.size / 3


async def test_a_directory_brings_all_below_it_and_the_name_of_the_entry_may_be_left_out(
    source: Path, target: Path
) -> None:
    await restore_from(store_of(archive_of(source)), target, b"sub/deep/")
    assert tree(target / "entry/sub") == {"deep": "/", "deep/first": b"both names", "deep/second": b"both names"}


async def test_a_large_file_comes_alone(source: Path, target: Path) -> None:
    await restore_from(store_of(archive_of(source)), target, b"large")
    assert tree(target / "entry") == {"large": LARGE}


async def test_a_link_whose_first_name_was_not_asked_for_is_the_file_itself(source: Path, target: Path) -> None:
    await restore_from(store_of(archive_of(source)), target, b"sub/deep/second", b"sub/large again")
    assert tree(target / "entry") == {
        "sub": "/",
        "sub/deep": "/",
        "sub/deep/second": b"both names",
        "sub/large again": LARGE,
    }


async def test_further_links_to_a_file_that_was_not_asked_for_are_one_file(source: Path, target: Path) -> None:
    (source / "sub/deep/third").hardlink_to(source / "sub/deep/first")
    await restore_from(store_of(archive_of(source)), target, b"sub/deep/second", b"sub/deep/third")
    assert os.path.samefile(target / "entry/sub/deep/second", target / "entry/sub/deep/third")


async def test_a_path_below_another_one_is_there_too(source: Path, target: Path) -> None:
    await restore_from(store_of(archive_of(source)), target, b"sub", b"sub/deep", b"sub/deep/first", b"sub")
    assert tree(target / "entry") == {path: there for path, there in tree(source).items() if path.startswith("sub")}
    theirs = store_of(tar_gz((info("a/b/c"), b"1")))
    restored = await restore_from(theirs, target / "theirs", b"a", b"a/b")
    assert (restored.report.exit_code, tree(target / "theirs/a/b")) == (0, {"c": b"1"})


async def test_a_path_that_is_not_there_tells_the_nearest(source: Path, target: Path) -> None:
    with pytest.raises(RestoreError, match=r"entry/sub/file77 is not in .*did you mean .*entry/sub/file"):
        await restore_from(store_of(archive_of(source)), target, b"sub/file77")
    assert tree(target) == {}


async def test_an_archive_that_is_not_there_tells_the_nearest(source: Path, target: Path) -> None:
    with pytest.raises(RemoteNotFound, match="called enrty; did you mean entry"):
        await restore_from(store_of(archive_of(source)), target, archive=b"enrty")
    assert not target.exists()


async def test_the_newest_archive_not_after_a_day_is_taken(tmp_path: Path, target: Path) -> None:
    store = store_of(b"")
    for day in ("19", "20", "21"):
        (tmp_path / day / "entry").mkdir(parents=True)
        (tmp_path / day / "entry/day").write_text(day)
        name = f"entry-2026-11-{day}T120000.tar.gz"
        store.put(store.directory + b"/" + name.encode(), archive_of(tmp_path / day / "entry"))
    await restore_from(store, target / "a", archive=b"entry@2026-11-20")
    await restore_from(store, target / "b", archive=b"entry")
    assert ((target / "a/entry/day").read_text(), (target / "b/entry/day").read_text()) == ("20", "21")
    with pytest.raises(
        RemoteNotFound, match="no archive is as old as entry@2026-11-18; the oldest is entry-2026-11-19"
    ):
        await restore_from(store, target / "c", archive=b"entry@2026-11-18")
    with pytest.raises(SettingsError):
        await restore_from(store, target / "c", archive=b"entry@20-11-2026")
    assert not (target / "c").exists()


async def test_what_is_there_is_named_before_anything_is_written(source: Path, target: Path) -> None:
    (target / "entry/sub").mkdir(parents=True)
    (target / "entry/sub/file03").write_text("mine")
    (target / "entry/empty").write_text("a file where a directory should be")
    with pytest.raises(
        RestoreError, match=r"nothing was written, since these exist already in .*entry/empty, entry/sub/file03"
    ):
        await restore_from(store_of(archive_of(source)), target)
    assert tree(target) == {
        "entry": "/",
        "entry/empty": b"a file where a directory should be",
        "entry/sub": "/",
        "entry/sub/file03": b"mine",
    }


@pytest.mark.parametrize("place", ["entry", "entry/sub", "entry/sub/deep"])
@pytest.mark.parametrize("is_link", [False, True], ids=["file", "link"])
async def test_what_stands_in_the_place_of_a_directory_is_in_the_way_of_all_below(
    source: Path, target: Path, place: str, *, is_link: bool
) -> None:
    there = target / place
    there.parent.mkdir(parents=True)
    if is_link:
        there.symlink_to(target)
    else:
        there.write_text("mine")
    before = tree(target)
    for include in (("first", "second"), ()):
        with pytest.raises(RestoreError, match=rf"nothing was written, since these exist already in [^ ]*: {place};"):
            await restore_from(store_of(archive_of(source)), target, b"sub/deep", include=include)
    assert tree(target) == before


async def test_only_always_replaces_a_file_by_a_directory_however_old_it_is(source: Path, target: Path) -> None:
    there = target / "entry/sub"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    os.utime(there, (0, 0))
    restored = await restore_from(store_of(archive_of(source)), target, b"sub", overwrite=Overwrite.IF_NEWER)
    assert {kind for _, kind in restored.told} == {"in-the-way", "failed"}  # the links to what is in it
    assert reasons(restored)[b"entry/sub"] == "a file stands in its place"
    assert tree(target / "entry") == {"sub": b"mine"}
    restored = await restore_from(store_of(archive_of(source)), target, b"sub", overwrite=Overwrite.ALWAYS)
    assert restored.report.exit_code == 0
    assert there.is_dir()


async def test_always_replaces_what_is_there_and_follows_no_link(source: Path, target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    (target / "entry").mkdir(parents=True)
    (target / "entry/sub").symlink_to(outside)
    (target / "entry/large").symlink_to(outside / "precious")
    (target / "entry/link").write_text("mine")
    restored = await restore_from(store_of(archive_of(source)), target, overwrite=Overwrite.ALWAYS)
    assert restored.report.exit_code == 0
    assert tree(target / "entry") == tree(source)
    assert tree(outside) == {"precious": b"precious"}


async def test_a_directory_is_never_replaced_by_a_file(source: Path, target: Path) -> None:
    (target / "entry/large").mkdir(parents=True)
    (target / "entry/large/mine").write_text("mine")
    restored = await restore_from(store_of(archive_of(source)), target, overwrite=Overwrite.ALWAYS)
    assert (b"entry/large", "in-the-way") in restored.told
    assert restored.report.exit_code == 3
    assert tree(target / "entry/large") == {"mine": b"mine"}


async def test_if_newer_keeps_what_is_not_older(source: Path, target: Path) -> None:
    (target / "entry/sub").mkdir(parents=True)
    for name in ("sub/file01", "sub/file02", "large"):
        (target / "entry" / name).write_text("mine")
    os.utime(target / "entry/sub/file02", (1, 1))
    restored = await restore_from(store_of(archive_of(source)), target, overwrite=Overwrite.IF_NEWER)
    assert restored.report.exit_code == 3
    assert restored.told == {
        (b"entry/sub/file01", "kept"),
        (b"entry/large", "kept"),
        (b"entry/sub/large again", "failed"),
    }
    assert (target / "entry/sub/file01").read_text() == (target / "entry/large").read_text() == "mine"
    assert (target / "entry/sub/file02").read_bytes() == (source / "sub/file02").read_bytes()


async def test_existing_directories_keep_their_own_mode_unless_asked(source: Path, target: Path) -> None:
    (target / "entry/sub").mkdir(parents=True, mode=0o700)
    await restore_from(store_of(archive_of(source)), target, b"sub")
    assert (target / "entry/sub").stat().st_mode & 0o777 == 0o700


class LateBeginning(MemoryStore):
    """A store whose archive begins to come only when much of what follows has come."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.put(b"%b/%b" % (self.directory, NAME), content)
        self.reads = 0
        self._may_come = Event()

    async def open(self, path: bytes) -> MemoryReader:
        reader = await super().open(path)
        read = reader.read

        async def late(offset: int, length: int) -> bytes:
            self.reads += 1
            if self.reads == 4:
                self._may_come.set()
            if offset == 0:
                await self._may_come.wait()
            return await read(offset, length)

        reader.read = late  # type: ignore[method-assign]
        return reader


async def test_damage_is_the_error_also_where_much_has_come_that_follows_it(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "entry"
    source.mkdir()
    for number in range(60):
        (source / f"{number:02}").write_bytes(Random(number).randbytes(30_000))
    content = bytearray(archive_of(source))
    content[1000] ^= 1
    store = LateBeginning(bytes(content))
    with fail_after(20):
        restored = await restore_from(store, target)
    assert store.reads >= 4
    assert isinstance(restored.report.error, DamagedArchive)
    assert restored.report.files == len(tree(target)) - 1 > 0
    assert restored.report.exit_code == 3


async def test_names_may_be_typed_as_they_are_shown(tmp_path: Path, target: Path) -> None:
    entry = tmp_path / "one/latin\udce9"
    (entry / "a\nb").mkdir(parents=True)
    (entry / "a\nb" / "right\u202eleft").write_text("text")
    (entry / r"a\n").write_text("as it is")
    store = store_of(archive_of(entry), b"latin\xe9-2026-11-20T120000.tar.gz")
    wanted = [rb"latin\xe9/a\nb/right\u202eleft", rb"a\n"]
    for archive in (rb"latin\xe9", rb"latin\xe9@2026-11-21", rb"latin\xe9-2026-11-20T120000.tar.gz"):
        place = target / os.fsdecode(archive)
        assert (await restore_from(store, place, *wanted, archive=archive)).report.exit_code == 0
        assert {path.read_text() for path in place.rglob("*") if path.is_file()} == {"text", "as it is"}


@pytest.mark.parametrize("salvage", [False, True])
async def test_damage_costs_the_files_in_it_and_no_others(source: Path, target: Path, salvage: bool) -> None:
    content = archive_of(source)
    hurt = next(s for s in segments_of(content) if any(m.path == b"entry/sub/file05" for m in s.listing()))
    spoilt = bytearray(content)
    spoilt[hurt.offset + hurt.length // 2] ^= 1
    restored = await restore_from(store_of(bytes(spoilt)), target, salvage=salvage)
    hurt_ones = {os.fsdecode(member.path) for member in hurt.listing()}
    assert restored.report.exit_code == 3
    if salvage:
        told = {
            kind: {os.fsdecode(path) for path, of in restored.told if of == kind} for kind in ("damaged", "suspect")
        }
        assert told["damaged"] | told["suspect"] == hurt_ones
        whole = {name for name in tree(source) if f"entry/{name}" not in hurt_ones}
        assert {name: tree(target / "entry")[name] for name in whole} == {name: tree(source)[name] for name in whole}
        assert not any((target / name).is_file() for name in told["damaged"])
    else:
        assert isinstance(restored.report.error, DamagedArchive)
        assert "--salvage" in str(restored.report.error)
    assert [path for path in target.rglob("*") if ".restore-" in path.name] == []


async def test_what_stands_before_the_damage_of_a_segment_is_salvaged_and_said_to_be_doubtful(
    tmp_path: Path, target: Path
) -> None:
    entry = tmp_path / "one/entry"
    entry.mkdir(parents=True)
    contents = {f"file{number}": Random(number).randbytes(900) for number in range(10)}
    for name, content in contents.items():
        (entry / name).write_bytes(content)
    archive = bytearray(archive_of(entry))
    (only,) = [segment for segment in segments_of(bytes(archive)) if segment.members]
    archive[only.offset + only.length * 6 // 10] ^= 0x10
    restored = await restore_from(store_of(bytes(archive)), target, salvage=True)
    there = {path.name: path.read_bytes() for path in (target / "entry").iterdir()}
    assert restored.report.exit_code == 3
    assert {os.fsdecode(path) for path, kind in restored.told if kind == "suspect"} == {
        "entry",
        *(f"entry/{name}" for name in there),
    }
    assert {path for path, kind in restored.told if kind == "damaged"} == {
        os.fsencode(f"entry/{name}") for name in contents.keys() - there.keys()
    }
    assert {f"file{number}" for number in range(5)} <= there.keys()
    assert sum(there[name] != contents[name] for name in there) <= 1


async def test_one_wrong_byte_in_the_data_costs_no_more_than_is_in_it(tmp_path: Path, target: Path) -> None:
    entry = tmp_path / "one/entry"
    entry.mkdir(parents=True)
    (entry / "a").write_bytes(Random(1).randbytes(30_000))
    (entry / "large").write_bytes(Random(2).randbytes(3 * SEGMENT))
    (entry / "sub").mkdir()
    (entry / "sub/filler").write_bytes(Random(3).randbytes(SEGMENT * 9 // 10))
    (entry / "sub/link").hardlink_to(entry / "a")
    archive = bytearray(archive_of(entry, level=0))
    archive[archive.index((entry / "a").read_bytes()[500:520])] ^= 1
    restored = await restore_from(store_of(bytes(archive)), target, salvage=True)
    suspects = {b"entry", b"entry/a", b"entry/large", b"entry/sub/link"}
    assert restored.told == {(path, "suspect") for path in suspects}
    there = target / "entry"
    assert (there / "large").read_bytes() == (entry / "large").read_bytes()
    assert sum(x != y for x, y in zip((there / "a").read_bytes(), (entry / "a").read_bytes(), strict=True)) == 1
    assert (there / "sub/link").samefile(there / "a")


async def test_a_name_that_is_not_that_of_the_index_is_never_taken_from_a_damaged_segment(
    tmp_path: Path, target: Path
) -> None:
    entry, long = tmp_path / "one/entry", "n" * 120
    entry.mkdir(parents=True)
    for letter in "abcd":
        (entry / (long + letter)).write_bytes(Random(letter).randbytes(SEGMENT * 2 // 3))
    archive = bytearray(archive_of(entry, level=0))
    archive[archive.index(f"{long}a\n".encode()) + len(long)] ^= 2  # in a pax header, which has no checksum: a to c
    restored = await restore_from(store_of(bytes(archive)), target, salvage=True)
    assert (f"entry/{long}a".encode(), "damaged") in restored.told
    there = {path.name[-1]: path.read_bytes() for path in (target / "entry").iterdir()}
    assert there == {letter: (entry / (long + letter)).read_bytes() for letter in "bcd"}


@pytest.mark.parametrize("overwrite", ["always", "if-newer"])
async def test_a_doubtful_file_takes_no_other_s_place(source: Path, target: Path, overwrite: str) -> None:
    content = bytearray(archive_of(source))
    hurt = next(s for s in segments_of(bytes(content)) if any(m.path == b"entry/sub/file05" for m in s.listing()))
    content[hurt.offset + hurt.length - 12] ^= 1
    mine = target / "entry/sub/file05"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    os.utime(mine, (0, 0))
    restored = await restore_from(store_of(bytes(content)), target, salvage=True, overwrite=Overwrite(overwrite))
    assert restored.report.exit_code == 3
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("salvage", [False, True])
async def test_a_cut_file_is_salvaged_as_far_as_it_goes(tmp_path: Path, target: Path, salvage: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(Random(1).randbytes(3 << 20))
    archive = archive_of(file)
    restored = await restore_from(store_of(archive[: len(archive) // 2]), target, salvage=salvage)
    assert isinstance(restored.report.error, DamagedArchive)
    assert restored.report.exit_code == (3 if salvage else 1)
    if salvage:
        assert restored.told == {(b"file", "incomplete")}
        found = (target / "file").read_bytes()
        known = len(found.rstrip(b"\0"))
        assert len(found) == 3 << 20
        assert 1 << 20 <= known < 2 << 20
        assert found[:known] == file.read_bytes()[:known]
    else:
        assert list(target.iterdir()) == []


async def test_without_salvage_a_file_that_lacks_a_piece_is_not_left(source: Path, target: Path) -> None:
    content = archive_of(source)
    piece = next(s for s in segments_of(content) if next(s.listing(), None) and next(s.listing()).type == b"+")
    spoilt = bytearray(content)
    spoilt[piece.offset + 100] ^= 1
    restored = await restore_from(store_of(bytes(spoilt)), target)
    assert isinstance(restored.report.error, DamagedArchive)
    assert restored.report.exit_code == 3
    there = tree(target / "entry")
    assert "large" not in there
    assert {name: content for name, content in there.items() if (target / "entry" / name).is_file()}.items() <= (
        tree(source).items()
    )


async def test_nor_is_one_that_was_hurt_behind_the_damage_that_ended_it(source: Path, target: Path) -> None:
    content = archive_of(source)
    pieces = [s for s in segments_of(content) if next(s.listing(), None) and next(s.listing()).type == b"+"]
    spoilt = bytearray(content)
    spoilt[100] ^= 1
    spoilt[pieces[1].offset + 100] ^= 1
    restored = await restore_from(store_of(bytes(spoilt)), target)
    assert restored.report.exit_code in {1, 3}
    assert not (target / "entry/large").exists()


async def test_a_damaged_piece_of_a_large_file_is_zeros_and_said(source: Path, target: Path) -> None:
    content = archive_of(source)
    piece = next(s for s in segments_of(content) if next(s.listing(), None) and next(s.listing()).type == b"+")
    spoilt = bytearray(content)
    spoilt[piece.offset + 100] ^= 1
    restored = await restore_from(store_of(bytes(spoilt)), target, salvage=True)
    assert restored.told == {(b"entry/large", "incomplete")}
    assert (target / "entry/large").read_bytes() == bytes(SEGMENT) + LARGE[SEGMENT:]


async def test_an_archive_cut_short_gives_what_it_has_and_says_so(source: Path, target: Path) -> None:
    content = archive_of(source)
    cut = segments_of(content)[2].offset + 10
    restored = await restore_from(store_of(content[:cut]), target)
    assert restored.report.exit_code == 3
    assert isinstance(restored.report.error, DamagedArchive)
    assert restored.report.files > 0
    for name, found in tree(target / "entry").items():
        assert found == tree(source)[name]


async def test_without_its_end_an_archive_of_ours_is_still_an_archive(source: Path, target: Path) -> None:
    content = archive_of(source)
    restored = await restore_from(store_of(content[: read_footer(content[-FOOTER_SIZE:]).index_offset]), target)
    assert restored.report.exit_code == 0
    assert tree(target / "entry") == tree(source)


@pytest.mark.parametrize("damage", ["index", "footer"])
async def test_a_damaged_index_is_an_error_that_salvage_passes_over(source: Path, target: Path, damage: str) -> None:
    content = bytearray(archive_of(source))
    start = read_footer(bytes(content[-FOOTER_SIZE:])).index_offset
    content[start + 40 if damage == "index" else len(content) - 20] ^= 1
    if damage == "index":
        with pytest.raises(DamagedArchive, match="--salvage reads it from its beginning"):
            await restore_from(store_of(bytes(content)), target)
        assert tree(target) == {}
    await restore_from(store_of(bytes(content)), target, salvage=True)
    assert tree(target / "entry") == tree(source)


async def test_an_archive_that_somebody_else_made_comes_back(target: Path) -> None:
    members = (
        info("./a", tarfile.DIRTYPE, mode=0o755),
        (info("./a/b"), b"content"),
        info("./a/c", tarfile.LNKTYPE, "./a/b"),
    )
    restored = await restore_from(store_of(tar_gz(*members), b"foreign.tar.gz"), target, archive=b"foreign.tar.gz")
    assert restored.report.exit_code == 0
    assert tree(target) == {"a": "/", "a/b": b"content", "a/c": b"content"}
    (started,) = [event for event in restored.events if isinstance(event, RestoreStarted)]
    assert started.members is None


async def test_some_paths_of_an_archive_that_somebody_else_made(target: Path) -> None:
    content = tar_gz((info("a/b"), b"1"), (info("a/c"), b"2" * 3_000_000), (info("d"), b"3"))
    await restore_from(store_of(content), target, b"a/c")
    assert tree(target) == {"a": "/", "a/c": b"2" * 3_000_000}
    missing = await restore_from(store_of(content), target / "2", b"a/x", b"d")
    assert "not in the archive: a/x" in str(missing.report.error)
    assert tree(target / "2") == {"d": b"3"}


async def test_a_path_that_an_archive_holds_twice_is_the_later_one(target: Path) -> None:
    await restore_from(store_of(tar_gz((info("a"), b"old"), (info("a"), b"new"))), target)
    assert tree(target) == {"a": b"new"}


async def test_a_directory_that_is_not_empty_takes_no_archive_without_an_index(target: Path) -> None:
    target.mkdir()
    (target / "mine").write_text("mine")
    content = tar_gz((info("a"), b"1"))
    with pytest.raises(RestoreError, match="is not empty, and the archive has no index"):
        await restore_from(store_of(content), target)
    assert tree(target) == {"mine": b"mine"}
    await restore_from(store_of(content), target, overwrite=Overwrite.ALWAYS)
    assert tree(target) == {"a": b"1", "mine": b"mine"}


async def test_what_is_no_archive_says_so(target: Path) -> None:
    restored = await restore_from(store_of(b"this is not gzip" * 100), target)
    assert restored.report.exit_code == 1
    assert isinstance(restored.report.error, DamagedArchive)
    assert tree(target) == {}


async def test_an_empty_file_says_so(target: Path) -> None:
    restored = await restore_from(store_of(b""), target)
    assert restored.report.exit_code == 1
    assert isinstance(restored.report.error, DamagedArchive)


async def test_a_target_that_is_a_file_is_an_error(source: Path, target: Path) -> None:
    target.write_text("mine")
    with pytest.raises(RestoreError, match="is not a directory; name one"):
        await restore_from(store_of(archive_of(source)), target)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("reads", range(1, 9))
async def test_a_connection_lost_for_good_says_what_is_there(source: Path, target: Path, reads: int) -> None:
    store = store_of(archive_of(source))
    store.add_faults("read", [*[None] * reads, ConnectionDropped("the line is dead")])
    restored = await restore_from(store, target)
    assert isinstance(restored.report.error, ConnectionDropped)
    assert restored.report.exit_code == (3 if restored.report.files else 1)
    assert restored.report.files == len([path for path in target.rglob("*") if path != target])
    assert store.unused_faults == 0
    assert [path for path in target.rglob("*") if ".restore-" in path.name] == []
    for name, found in tree(target / "entry").items():
        assert found == tree(source)[name]


async def test_the_name_of_the_archive_may_be_that_of_the_file(source: Path, target: Path) -> None:
    await restore_from(store_of(archive_of(source)), target, archive=NAME)
    assert tree(target / "entry") == tree(source)


async def test_what_a_killed_restore_left_unfinished_is_replaced_as_old(source: Path, target: Path) -> None:
    (target / "entry/sub").mkdir(parents=True)
    (target / "entry/sub/file05").write_bytes(b"")
    (target / "entry/sub/file05").chmod(UNFINISHED)
    restored = await restore_from(store_of(archive_of(source)), target, b"sub/file05", overwrite=Overwrite.IF_NEWER)
    assert restored.report.exit_code == 0
    assert (target / "entry/sub/file05").read_bytes() == (source / "sub/file05").read_bytes()


async def test_if_newer_keeps_what_is_newer_also_without_an_index(target: Path) -> None:
    target.mkdir()
    (target / "a").write_text("precious")
    old = info("a")
    old.mtime = 1
    restored = await restore_from(store_of(tar_gz((old, b"old"))), target, overwrite=Overwrite.IF_NEWER)
    assert restored.told == {(b"a", "kept")}
    assert (target / "a").read_text() == "precious"


@pytest.mark.parametrize("overwrite", list(Overwrite))
@pytest.mark.parametrize(
    ("members", "right"),
    [
        ([("a", "v1"), ("b", "->a"), ("a", "v2")], {"a": b"v2", "b": b"v1"}),
        ([("a", "v1"), ("b", "->a"), ("b", "own")], {"a": b"v1", "b": b"own"}),
        ([("b", "v1"), ("a", "->b"), ("a", "v2")], {"a": b"v2", "b": b"v1"}),
    ],
)
async def test_links_of_an_archive_that_was_added_to_are_made_in_their_turn(
    target: Path, members: list[tuple[str, str]], right: dict[str, bytes], overwrite: Overwrite
) -> None:
    made = [
        info(name, tarfile.LNKTYPE, what[2:]) if what.startswith("->") else (info(name), what.encode())
        for name, what in members
    ]
    restored = await restore_from(store_of(tar_gz(*made)), target, overwrite=overwrite)
    assert restored.report.exit_code == 0
    assert tree(target) == right


@pytest.mark.parametrize("why", ["damaged", "kept"])
async def test_a_link_is_never_made_to_a_file_that_was_there_before(tmp_path: Path, target: Path, why: str) -> None:
    source = tmp_path / "entry"
    (source / "z").mkdir(parents=True)
    (source / "a").write_bytes(Random(1).randbytes(40_000))
    (source / "between").write_bytes(Random(2).randbytes(60_000))
    (source / "z/link").hardlink_to(source / "a")
    content = bytearray(archive_of(source))
    (target / "entry").mkdir(parents=True)
    (target / "entry/a").write_text("somebody's own")
    if why == "damaged":
        hurt = next(s for s in segments_of(bytes(content)) if any(m.path == b"entry/a" for m in s.listing()))
        content[hurt.offset + 2000] ^= 1
    overwrite = Overwrite.ALWAYS if why == "damaged" else Overwrite.IF_NEWER
    restored = await restore_from(store_of(bytes(content)), target, overwrite=overwrite, salvage=True)
    assert (b"entry/z/link", "failed") in restored.told
    assert restored.report.exit_code == 3
    assert tree(target / "entry")["a"] == b"somebody's own"
    assert "z/link" not in tree(target / "entry")


async def test_what_takes_the_place_of_a_large_file_on_its_way_stays(source: Path, target: Path) -> None:
    store = store_of(archive_of(source))

    def meddle(event: RestoreEvent) -> None:
        if isinstance(event, BytesRestored) and (target / "entry").exists() and not (target / "entry/large").exists():
            (target / "entry/large").write_text("mine")

    restored = await restore_from(store, target, listener=meddle)
    assert (b"entry/large", "in-the-way") in restored.told
    assert (target / "entry/large").read_text() == "mine"
    assert [path for path in target.rglob("*") if ".restore-" in path.name] == []


def _without_piece(members: list[Member]) -> list[Member]:
    return [] if members[0].type == PIECE and members[0].offset == SEGMENT else members


def _moved_piece(members: list[Member]) -> list[Member]:
    return [m._replace(offset=1 << 40) if m.type == PIECE and m.offset == SEGMENT else m for m in members]


def _huge_piece(members: list[Member]) -> list[Member]:
    return [m._replace(offset=(1 << 63) + 5) if m.type == PIECE and m.offset == SEGMENT else m for m in members]


def _shorter_piece(members: list[Member]) -> list[Member]:
    return [m._replace(size=m.size - 1) if m.type == PIECE and m.offset == SEGMENT else m for m in members]


def _orphan(members: list[Member]) -> list[Member]:
    return [m._replace(path=b"entry/other") if m.type == PIECE else m for m in members]


@pytest.mark.parametrize("lie", [_without_piece, _moved_piece, _huge_piece, _shorter_piece, _orphan])
async def test_an_index_that_lies_about_a_large_file_is_found_out(
    source: Path, target: Path, lie: Callable[[list[Member]], list[Member]]
) -> None:
    restored = await restore_from(store_of(forged(archive_of(source), lie)), target, salvage=True)
    assert restored.report.exit_code == 3
    assert {path for path, _ in restored.told} & {b"entry/large", b"entry/other"}
    assert not (target / "entry/large").exists() or (target / "entry/large").stat().st_size == len(LARGE)


async def test_a_lost_file_is_named_as_it_would_have_come(source: Path, target: Path) -> None:
    content = bytearray(archive_of(source))
    first = b"entry/sub/deep/first"
    [segment] = [one for one in segments_of(bytes(content)) if first in {member.path for member in one.known()}]
    content[segment.offset + 30] ^= 1
    restored = await restore_from(store_of(bytes(content)), target, b"sub/deep/second", salvage=True)
    assert restored.told == {(b"entry/sub/deep/second", "damaged")}


async def test_a_link_to_what_the_index_does_not_hold_is_told_as_lost(source: Path, target: Path) -> None:
    def without_target(members: list[Member]) -> list[Member]:
        return [member for member in members if member.path != b"entry/sub/deep/first"]

    restored = await restore_from(store_of(forged(archive_of(source), without_target)), target, b"sub/deep/second")
    assert restored.told == {(b"entry/sub/deep/second", "failed")}
    assert restored.report.exit_code == 3
    assert not (target / "entry/sub/deep/second").exists()


def reasons(restored: Restored) -> dict[bytes, str]:
    return {issue.path: issue.reason for issue in restored.report.issues}


async def test_a_link_of_a_stream_names_the_file_that_has_to_be_named_too(target: Path) -> None:
    store = store_of(tar_gz((info("a"), b"1"), info("b", tarfile.LNKTYPE, "a")))
    restored = await restore_from(store, target, b"b")
    assert reasons(restored) == {b"b": "it is a link to a, which was not restored"}
    restored = await restore_from(store, target, b"a", b"b")
    assert restored.report.exit_code == 0
    assert tree(target) == {"a": b"1", "b": b"1"}


@pytest.mark.parametrize("gone", [b"gone", b"empty/gone", b"gone/gone"])
def test_a_link_to_what_is_not_there_names_it(tmp_path: Path, gone: bytes) -> None:
    (tmp_path / "empty").mkdir()
    there, told = os.fsencode(tmp_path), f"it is a link to {gone.decode()}, which was not restored"
    with closing(Disk(there, Overwrite.NEVER, "token", lambda _: False)) as disk, pytest.raises(Refused, match=told):
        disk.link(gone, b"link", 0)
    assert os.listdir(tmp_path) == ["empty"]


@pytest.mark.parametrize("wanted", [(), (b"sub",)], ids=["all", "some"])
async def test_an_index_whose_records_are_cut_short_is_an_error_and_nothing_is_written(
    source: Path, target: Path, wanted: tuple[bytes, ...]
) -> None:
    damaged = with_records_cut_short(archive_of(source))
    (target / "entry").mkdir(parents=True)
    (target / "entry/mine").write_text("mine")
    with pytest.raises(DamagedArchive, match="the index is damaged"):
        await restore_from(store_of(damaged), target, *wanted)
    assert tree(target / "entry") == {"mine": b"mine"}


@NEEDS_ROOT
async def test_a_full_disk_ends_it_and_what_is_there_is_told(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "entry"
    (source / "d").mkdir(parents=True)
    (source / "d").chmod(0o755)
    for number in range(300):
        (source / "d" / str(number)).write_bytes(Random(number).randbytes(8000))
    content = archive_of(source, segment_size=4 << 20)
    target.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(target)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        restored = await restore_from(store_of(content), target)
        assert isinstance(restored.report.error, RestoreError)
        assert restored.report.exit_code == 3
        assert restored.report.files == len(tree(target)) > 100
        assert (target / "entry/d").stat().st_mode & 0o777 == 0o755
    finally:
        subprocess.run(["umount", str(target)], check=True)


async def test_large_files_with_long_names_that_begin_alike_are_not_mixed_up(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "entry"
    source.mkdir()
    for end in "abc":
        (source / ("n" * 254 + end)).write_bytes(Random(end).randbytes(2 * SEGMENT))
    restored = await restore_from(store_of(archive_of(source)), target)
    assert restored.report.exit_code == 0
    assert tree(target / "entry") == tree(source)


async def test_if_newer_has_nothing_to_do_where_all_is_there_already(source: Path, target: Path) -> None:
    store = store_of(archive_of(source))
    await restore_from(store, target)
    again = await restore_from(store, target, overwrite=Overwrite.IF_NEWER)
    assert again.report.exit_code == 0
    assert {kind for _, kind in again.told} == {"kept"}
    assert tree(target / "entry") == tree(source)


async def test_if_newer_completes_what_was_not_finished_links_too(source: Path, target: Path) -> None:
    store = store_of(archive_of(source))
    await restore_from(store, target)
    for name in ("sub/deep/second", "sub/large again", "sub/file03"):
        (target / "entry" / name).unlink()
    again = await restore_from(store, target, overwrite=Overwrite.IF_NEWER)
    assert again.report.exit_code == 0
    assert tree(target / "entry") == tree(source)
    assert os.path.samefile(target / "entry/large", target / "entry/sub/large again")
