"""Whatever happens to an archive's bytes: a restore gives the right files, or says which ones are not."""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from pathlib import Path
from random import Random

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from async_backup.archive.gzip import compress_member
from async_backup.archive.index import IndexWriter, Segment
from async_backup.errors import BackupError
from tests.restores import Restored, archive_of, restore_from, store_of, tree
from tests.trees import SEGMENT


class Sample:
    """A tree and its archive."""

    def __init__(self, source: Path, archive: bytes) -> None:
        self.source = source
        self.archive = archive


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    root = tmp_path_factory.mktemp("source") / "entry"
    (root / "a/b").mkdir(parents=True)
    for number in range(6):
        (root / f"a/random{number}").write_bytes(Random(number).randbytes(15_000))
        (root / f"a/b/text{number}").write_bytes(b"the same line again and again\n" * 500)
    (root / "large").write_bytes(Random(9).randbytes(2 * SEGMENT + 77))
    (root / "a/link").hardlink_to(root / "large")
    (root / "symlink").symlink_to("a/b")
    return Sample(root, archive_of(root))


def restored(content: bytes, target: Path, *, salvage: bool) -> Restored | BackupError:
    async def run() -> Restored:
        return await restore_from(store_of(content), target, salvage=salvage)

    try:
        return anyio.run(run)
    except BackupError as error:
        return error


def check(content: bytes, source: Path, *, salvage: bool) -> None:
    """No wrong file without a word, no whole restore that is not whole, nothing half-done left."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "target"
        outcome = restored(content, target, salvage=salvage)
        there = tree(target / "entry") if target.exists() else {}
        right = tree(source)
        if isinstance(outcome, BackupError):
            assert str(outcome)
            assert there == {}
            return
        assert not any(".restore-" in name for name in there)
        named = {path.decode() for path, kind in outcome.told if kind in {"damaged", "suspect", "incomplete"}}
        wrong = {name for name, found in there.items() if found != right.get(name)}
        links = {"a/link"} if "entry/large" in named else set()
        assert {f"entry/{name}" for name in wrong - links} <= named
        if outcome.report.exit_code == 0:
            assert there == right
        elif outcome.report.error is None:
            told = {path.decode() for path, _ in outcome.told}
            assert {f"entry/{name}" for name in right.keys() - there.keys()} <= told


edits = st.tuples(st.sampled_from(["flip", "cut", "insert", "delete", "swap"]), st.floats(0, 1), st.integers(1, 255))


def edited(content: bytes, kind: str, place: float, value: int) -> bytes:
    at = min(int(place * len(content)), len(content) - 1)
    match kind:
        case "flip":
            return content[:at] + bytes([content[at] ^ value]) + content[at + 1 :]
        case "cut":
            return content[:at]
        case "insert":
            return content[:at] + bytes([value] * value) + content[at:]
        case "delete":
            return content[:at] + content[at + value :]
        case _:
            middle = len(content) - at
            return content[middle:] + content[:middle]


@given(changes=st.lists(edits, min_size=1, max_size=3), salvage=st.booleans())
@example(changes=[("flip", 0.1, 1)], salvage=True)
@example(changes=[("flip", 0.1, 1)], salvage=False)
@settings(max_examples=150)
def test_edited_anywhere(sample: Sample, changes: list[tuple[str, float, int]], *, salvage: bool) -> None:
    content = sample.archive
    for change in changes:
        content = edited(content, *change) or b"\0"
    check(content, sample.source, salvage=salvage)


@given(behind=st.integers(1, 2000), value=st.integers(1, 255), salvage=st.booleans())
@settings(max_examples=150)
def test_edited_near_its_end(sample: Sample, behind: int, value: int, *, salvage: bool) -> None:
    archive, at = sample.archive, len(sample.archive) - behind
    check(archive[:at] + bytes([archive[at] ^ value]) + archive[at + 1 :], sample.source, salvage=salvage)


def test_untouched(sample: Sample) -> None:
    check(sample.archive, sample.source, salvage=False)


def test_an_index_that_tells_of_more_members_than_there_is_room_for_is_damaged(tmp_path: Path) -> None:
    data, records = compress_member(bytes(1024), 1), zlib.compress(bytes(300))
    writer = IndexWriter()
    index = writer.add(Segment(0, len(data), 1024, hashlib.sha256(data).digest(), 3, records)) + writer.finish(
        len(data)
    )
    outcome = restored(data + index, tmp_path / "target", salvage=False)
    assert isinstance(outcome, BackupError)
    assert "the index is damaged" in str(outcome)
