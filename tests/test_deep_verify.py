"""Reading archives back: whatever was done to their bytes is found and told by segment and file; nothing is written."""

from __future__ import annotations

import io
import tarfile
from random import Random
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from async_backup.archive.index import FOOTER_SIZE, PIECE, IndexWriter, read_footer
from async_backup.archive.member import DIRECTORY, REGULAR
from async_backup.checksum_files import checksum_name
from async_backup.config import Limits
from async_backup.errors import ConnectionDropped, RemoteDenied, RemoteError, RemoteExists, Unreachable
from async_backup.verifying.model import FINDINGS_KEPT, Verdict
from tests.archives import segments_of
from tests.everything import build_everything
from tests.restores import archive_of
from tests.runs import RUN
from tests.trees import SEGMENT
from tests.verifications import NAME, checksum_of, deep_check, forged, name_of, store_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_backup.archive.index import Member
    from async_backup.remote.memory import MemoryStore
    from tests.verifications import Verified

pytestmark = pytest.mark.anyio

PATH = b"/backups/" + NAME
CHECKSUM = checksum_name(PATH, "md5")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Small files, and a large one in three pieces, in several segments."""
    root = tmp_path_factory.mktemp("source") / "entry"
    (root / "a/b").mkdir(parents=True)
    for number in range(6):
        (root / f"a/random{number}").write_bytes(Random(number).randbytes(15_000))
        (root / f"a/b/text{number}").write_bytes(b"the same line again and again\n" * 500)
    (root / "large").write_bytes(Random(9).randbytes(2 * SEGMENT + 77))
    (root / "symlink").symlink_to("a/b")
    return archive_of(root)


def flipped(archive: bytes, position: int, mask: int = 1) -> bytes:
    return archive[:position] + bytes([archive[position] ^ mask]) + archive[position + 1 :]


def tar_gz(*names: str) -> bytes:
    """What another program made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 100_000
            tar.addfile(member, io.BytesIO(Random(name).randbytes(100_000)))
    return buffer.getvalue()


async def check(store: MemoryStore) -> Verified:
    """A deep check, which leaves everything as it was."""
    before = dict(store.files)
    found = await deep_check(store)
    assert store.files == before
    return found


async def test_a_whole_archive_is_whole_by_its_segments_and_by_its_digest(archive: bytes) -> None:
    found = await check(store_of(archive))
    assert (found.verdict(), found.reasons()) == (Verdict.WHOLE, [])
    assert found.checked().digest == found.checked().recorded == checksum_of(archive)[:32].decode()
    assert found.report.exit_code == 0


async def test_everything_that_a_file_system_can_hold_agrees_with_its_index(tmp_path: Path) -> None:
    source = tmp_path / "entry"
    source.mkdir()
    build_everything(source)
    with (source / "pieces with holes").open("wb") as file:
        for number in range(5):
            file.seek(number * 300_000)
            file.write(Random(number).randbytes(20_000))
        file.truncate(3_000_000)
    found = await check(store_of(archive_of(source)))
    assert (found.verdict(), found.reasons()) == (Verdict.WHOLE, [])


async def test_many_archives_share_few_slots(archive: bytes) -> None:
    found = await check(store_of(*[archive] * 5))
    assert [found.verdict(name_of(number)) for number in range(5)] == [Verdict.WHOLE] * 5


async def test_segments_longer_than_the_slots_are_checked_too(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry/file").write_bytes(Random(1).randbytes(3_000_000))
    long = archive_of(tmp_path / "entry", segment_size=2 << 20)
    store = store_of(long, flipped(long, 1_000_000))
    found = await deep_check(store, limits=Limits(processes=1, connections=1, channels=1, segment_size=SEGMENT))
    assert found.verdict() is Verdict.WHOLE
    assert "segment 2 of 4" in found.finding(name_of(1)).reason


async def test_a_flipped_byte_in_a_segment_is_told_by_segment_offset_and_files(archive: bytes) -> None:
    segment = segments_of(archive)[4]
    found = await check(store_of(flipped(archive, segment.offset + segment.length // 2), recorded=[archive]))
    finding = found.finding()
    assert found.verdict() is Verdict.DAMAGED
    assert (finding.segment, finding.offset) == (5, segment.offset)
    assert finding.files == (b"entry/symlink", b"entry/a", b"entry/a/random0")
    assert finding.more_files == 1
    assert found.checked().digest != found.checked().recorded
    assert found.report.exit_code == 3


async def test_a_flipped_byte_in_a_large_file_hurts_that_file_alone(archive: bytes) -> None:
    pieces = [segment for segment in segments_of(archive) if next(segment.listing()).type == PIECE]
    found = await check(store_of(flipped(archive, pieces[1].offset + 100), recorded=[]))
    assert found.finding().files == (b"entry/large",)
    assert found.finding().offset == pieces[1].offset


async def test_of_much_damage_the_first_is_told_and_the_rest_counted(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry/file").write_bytes(Random(1).randbytes(30 * SEGMENT))
    spoilt = archive_of(tmp_path / "entry")
    segments = segments_of(spoilt)
    for segment in segments:
        spoilt = flipped(spoilt, segment.offset + segment.length // 2)
    found = await check(store_of(spoilt))
    assert len(found.checked().findings) == FINDINGS_KEPT
    assert found.checked().more_findings == len(segments) - FINDINGS_KEPT


async def test_a_damaged_index_is_told_with_what_a_restore_can_do_then(archive: bytes) -> None:
    found = await check(store_of(flipped(archive, read_footer(archive[-FOOTER_SIZE:]).index_offset + 40)))
    assert found.verdict() is Verdict.DAMAGED
    assert "the index is damaged: its checksum differs" in found.finding().reason
    assert "`restore --salvage` reads them from the beginning" in found.finding().reason


@pytest.mark.parametrize("from_end", [FOOTER_SIZE, FOOTER_SIZE - 12, FOOTER_SIZE - 20, 40, 1])
async def test_a_damaged_footer_is_never_taken_for_somebody_elses_archive(archive: bytes, from_end: int) -> None:
    found = await check(store_of(flipped(archive, len(archive) - from_end), recorded=[]))
    assert found.verdict() is Verdict.DAMAGED
    assert found.finding().reason.startswith("the footer at its end is damaged")


@settings(max_examples=60)
@given(st.data())
def test_no_flipped_bit_is_missed_even_without_a_checksum_file(archive: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(archive) - 1) | st.integers(len(archive) - 700, len(archive) - 1))
    spoilt = flipped(archive, position, 1 << data.draw(st.integers(0, 7)))

    async def run() -> Verified:
        return await check(store_of(spoilt, recorded=[]))

    assert anyio.run(run).verdict() is Verdict.DAMAGED


@settings(max_examples=40)
@given(st.floats(0, 1, exclude_max=True))
@example(0.0)
def test_an_archive_that_was_cut_is_called_that(archive: bytes, share: float) -> None:
    size = int(len(archive) * share)
    footer = read_footer(archive[-FOOTER_SIZE:])
    if size in {footer.index_offset, len(archive) - FOOTER_SIZE}:
        size -= 1

    async def run() -> Verified:
        return await check(store_of(archive[:size], recorded=[]))

    found = anyio.run(run)
    assert found.verdict() is Verdict.DAMAGED
    assert "it is cut" in found.finding().reason


async def test_an_archive_without_the_end_of_its_footer_is_cut(archive: bytes) -> None:
    found = await check(store_of(archive[: -FOOTER_SIZE // 2], recorded=[]))
    assert found.finding().reason == "it is cut: it ends too early; the first 17 members can be read"


async def test_an_archive_that_was_cut_where_its_tar_ends_is_found_by_its_digest(archive: bytes) -> None:
    end = read_footer(archive[-FOOTER_SIZE:]).index_offset
    found = await check(store_of(archive[:end], recorded=[archive]))
    assert found.verdict() is Verdict.DAMAGED
    assert found.checked().recorded != found.checked().digest


async def test_something_in_front_of_the_footer_is_found(archive: bytes) -> None:
    found = await check(store_of(archive[:-FOOTER_SIZE] + archive[-FOOTER_SIZE * 2 :], recorded=[]))
    assert "the archive was cut or put together" in found.reasons()[0]


async def test_another_archive_in_its_place_is_found_by_the_digest_alone(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    other = archive_of(tmp_path / "entry")
    found = await check(store_of(other, recorded=[archive]))
    assert found.verdict() is Verdict.DAMAGED
    assert "it holds together, but its md5 is not the recorded one" in found.finding().reason


def renamed(members: list[Member]) -> list[Member]:
    return [m._replace(path=b"entry/a/other") if m.path == b"entry/a/random3" else m for m in members]


def larger(members: list[Member]) -> list[Member]:
    return [m._replace(size=m.size + 1) if m.path == b"entry/a/random3" else m for m in members]


def of_another_time_and_owner(members: list[Member]) -> list[Member]:
    return [m._replace(mtime_ns=5, uid=77) if m.path == b"entry/a/random3" else m for m in members]


def moved(members: list[Member]) -> list[Member]:
    return [m._replace(offset=m.offset + 512) if m.path == b"entry/a/random3" else m for m in members]


def elsewhere(members: list[Member]) -> list[Member]:
    return [m._replace(link=b"/etc") if m.path == b"entry/symlink" else m for m in members]


def executable(members: list[Member]) -> list[Member]:
    return [m._replace(mode=0o777) if m.path == b"entry/a/random3" else m for m in members]


def left_out(members: list[Member]) -> list[Member]:
    return members[:-1] if members[-1].path == b"entry/a/random4" else members


def added(members: list[Member]) -> list[Member]:
    return [*members, members[-1]._replace(path=b"entry/new")] if b"entry/symlink" in paths(members) else members


def piece_of_another(members: list[Member]) -> list[Member]:
    return [m._replace(path=b"entry/other") if m.type == PIECE and m.offset else m for m in members]


def piece_moved(members: list[Member]) -> list[Member]:
    return [m._replace(offset=m.offset + 1) if m.type == PIECE and m.offset else m for m in members]


def piece_shorter(members: list[Member]) -> list[Member]:
    return [m._replace(size=m.size - 600) if m.type == PIECE and not m.offset else m for m in members]


def directory(members: list[Member]) -> list[Member]:
    return [m._replace(type=DIRECTORY) if m.type == REGULAR and m.path == b"entry/a/random3" else m for m in members]


def piece_as_member(members: list[Member]) -> list[Member]:
    return [m._replace(type=REGULAR) if m.type == PIECE else m for m in members]


def paths(members: list[Member]) -> list[bytes]:
    return [member.path for member in members]


@pytest.mark.parametrize(
    ("change", "reason", "file"),
    [
        (renamed, "the index tells of another path", b"entry/a/other"),
        (larger, "the index tells of another size", b"entry/a/random3"),
        (of_another_time_and_owner, "the index tells of another uid, modification time", b"entry/a/random3"),
        (moved, "the index tells of another offset", b"entry/a/random3"),
        (executable, "the index tells of another mode", b"entry/a/random3"),
        (directory, "the index tells of another type, size", b"entry/a/random3"),
        (elsewhere, "the index tells of another link", b"entry/symlink"),
        (left_out, "it is there, and the index does not tell of it", b"entry/a/random4"),
        (added, "the index tells of it, and it is not there", b"entry/new"),
        (piece_of_another, "its data does not stand where it should", b"entry/other"),
        (piece_moved, "its data does not stand where it should", b"entry/large"),
        (piece_shorter, "its data has another length than the index tells", b"entry/large"),
    ],
)
async def test_a_forged_index_is_found_whatever_it_lies_about(
    archive: bytes, change: Callable[[list[Member]], list[Member]], reason: str, file: bytes
) -> None:
    found = await check(store_of(forged(archive, change), recorded=[]))
    assert found.verdict() is Verdict.DAMAGED
    assert any(finding.reason.endswith(reason) and file in finding.files for finding in found.checked().findings)


async def test_pieces_that_the_index_takes_for_members_are_found(archive: bytes) -> None:
    found = await check(store_of(forged(archive, piece_as_member), recorded=[]))
    assert found.verdict() is Verdict.DAMAGED


async def test_an_index_that_was_only_made_anew_is_right(archive: bytes) -> None:
    found = await check(store_of(forged(archive, lambda members: members)))
    assert (found.verdict(), found.reasons()) == (Verdict.WHOLE, [])


async def test_somebody_elses_archive_is_read_as_a_stream(archive: bytes) -> None:
    found = await check(store_of(tar_gz("a", "b")))
    assert found.verdict() is Verdict.WHOLE
    assert found.reasons() == ["no index; the tar stream is whole (2 members)"]
    assert found.checked().digest == found.checked().recorded


async def test_somebody_elses_damaged_archive_is_told_by_how_far_it_can_be_read() -> None:
    foreign = tar_gz("a", "b")
    found = await check(store_of(flipped(foreign, 150_000), recorded=[]))
    assert found.verdict() is Verdict.DAMAGED
    found = await check(store_of(foreign[:150_000], recorded=[]))
    assert "it is cut: it ends too early; the first 1 members can be read" in found.finding().reason


async def test_what_is_no_archive_at_all_is_damaged() -> None:
    found = await check(store_of(b"no gzip at all", b"", recorded=[]))
    assert (found.verdict(), found.verdict(name_of(1))) == (Verdict.DAMAGED, Verdict.DAMAGED)


async def test_a_garbled_checksum_file_is_told_of_a_whole_archive(archive: bytes) -> None:
    store = store_of(archive)
    store.put(CHECKSUM, b"garbled")
    found = await check(store)
    assert found.verdict() is Verdict.UNVERIFIED
    assert "is of no use: it does not hold one line" in found.finding().reason


async def test_a_segment_that_the_server_cannot_read_costs_only_itself(archive: bytes) -> None:
    store = store_of(archive, faults={"read": [None, None, None, RemoteError("Input/output error")]})
    found = await check(store)
    assert found.verdict() is Verdict.DAMAGED
    assert "cannot be read: Input/output error" in found.finding().reason
    assert found.checked().digest == ""
    assert store.unused_faults == 0


async def test_an_archive_that_cannot_be_opened_does_not_keep_the_others_from_it(archive: bytes) -> None:
    store = store_of(archive, archive, recorded=[], faults={"open": [RemoteDenied("no permission")]})
    found = await check(store)
    assert found.finding().reason == "no permission"
    assert (found.verdict(), found.verdict(name_of(1))) == (Verdict.UNVERIFIED, Verdict.WHOLE)
    assert found.report.exit_code == 3


@pytest.mark.parametrize("number", range(1, 14))
async def test_a_connection_that_is_lost_for_good_leaves_its_archive_unverified(archive: bytes, number: int) -> None:
    store = store_of(archive, faults={"read": [*[None] * number, ConnectionDropped("gone")]})
    found = await check(store)
    assert found.verdict() in {Verdict.UNVERIFIED, Verdict.WHOLE}
    assert (found.verdict() is Verdict.WHOLE) == bool(store.unused_faults)


@pytest.mark.parametrize("foreign", [False, True])
async def test_a_server_that_is_gone_ends_it(archive: bytes, foreign: bool) -> None:
    before = [None] if foreign else [None, None]  # what is small is read at once
    faults = {"read": [*before, Unreachable("nobody there")]}
    store = store_of(tar_gz("a") if foreign else archive, faults=faults)
    with pytest.raises(Unreachable):
        await check(store)


async def test_missing_checksum_files_are_written_for_what_is_whole(archive: bytes) -> None:
    store = store_of(archive, flipped(archive, 99), tar_gz("a"), recorded=[])
    before = dict(store.files)
    found = await deep_check(store, repair=RUN)
    written = {
        b"/backups/" + checksum_name(name_of(number), "md5"): checksum_of(before[b"/backups/" + name_of(number)], name)
        for number, name in ((0, name_of(0)), (2, name_of(2)))
    }
    assert store.files == before | written
    assert set(found.written) == {checksum_name(name_of(0), "md5"), checksum_name(name_of(2), "md5")}
    assert found.report.checksums_written == 2


async def test_a_checksum_file_that_is_there_is_never_touched(archive: bytes) -> None:
    store = store_of(archive, archive, archive)
    store.put(CHECKSUM, b"garbled")
    store.put(b"/backups/" + checksum_name(name_of(1), "md5"), b"")
    before = dict(store.files)
    found = await deep_check(store, repair=RUN)
    assert store.files == before
    assert found.written == []


async def test_a_checksum_file_that_appears_meanwhile_stays(archive: bytes) -> None:
    store = store_of(archive, recorded=[], faults={"rename": [RemoteExists("it exists already")]})
    found = await deep_check(store, repair=RUN)
    assert store.files == {PATH: archive}
    assert found.finding().reason == "its checksum file could not be written: it exists already"


async def test_without_rights_to_write_the_archive_is_named_and_nothing_left(archive: bytes) -> None:
    store = store_of(archive, recorded=[], faults={"create": [RemoteDenied("no permission to write")]})
    found = await deep_check(store, repair=RUN)
    assert store.files == {PATH: archive}
    assert found.finding().reason == "its checksum file could not be written: no permission to write"
    assert found.report.exit_code == 3


async def test_without_repair_a_missing_checksum_file_is_only_noted(archive: bytes) -> None:
    found = await check(store_of(archive, recorded=[]))
    assert found.reasons() == ["no recorded checksum to compare with; --repair-checksums writes one"]
    assert (found.verdict(), found.report.exit_code) == (Verdict.WHOLE, 0)


@pytest.mark.parametrize("content", [b"x\n", tar_gz("a", "b")])
async def test_what_others_made_is_passed_over_and_gets_no_checksum_file(archive: bytes, content: bytes) -> None:
    store = store_of(archive)
    store.put(b"/backups/theirs.tar.gz", content)
    before = dict(store.files)
    found = await deep_check(store, repair=RUN)
    assert found.verdict(b"theirs.tar.gz") is Verdict.PASSED_OVER
    assert found.report.exit_code == 0
    assert store.files == before


async def test_an_archive_that_lacks_something_is_whole_with_a_note(archive: bytes) -> None:
    footer = read_footer(archive[-FOOTER_SIZE:])
    index, parts = IndexWriter(), [archive[: footer.index_offset]]
    parts += [index.add(segment) for segment in segments_of(archive)]
    lacking = b"".join([*parts, index.finish(footer.index_offset, is_incomplete=True)])
    found = await check(store_of(lacking))
    assert found.verdict() is Verdict.WHOLE
    assert found.reasons() == ["it is incomplete: something changed or could not be read when it was made"]
    assert found.report.exit_code == 0
