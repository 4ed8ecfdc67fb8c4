"""What patterns leave of an archive comes back, and nothing else."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.errors import NotInArchive, SettingsError
from async_backup.index_paths import is_at_or_below
from async_backup.restoring.model import RestoreSettings
from async_backup.restoring.wish import Wish
from tests.restores import HERE, archive_of, info, restore_from, store_of, tar_gz, tree
from tests.trees import SEGMENT

pytestmark = pytest.mark.anyio

LARGE = Random(1).randbytes(3 * SEGMENT + 1000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source/entry"
    for path in ("a.jpg", "a.txt", "pictures/b.jpg", "pictures/raw/c.jpg", "pictures/raw/d.raw", "entry/e"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / "large.jpg").write_bytes(LARGE)
    (root / "z.jpg").hardlink_to(root / "a.txt")
    return root


@pytest.mark.parametrize(
    ("patterns", "paths"),
    [
        ({"include": ("*.raw",)}, "pictures/raw/d.raw"),
        ({"include": ("raw/",)}, "pictures/raw/c.jpg pictures/raw/d.raw"),
        ({"include": ("/*.jpg",)}, "a.jpg large.jpg z.jpg"),
        ({"include": ("pictures", "!raw")}, "pictures/b.jpg pictures/raw/c.jpg pictures/raw/d.raw"),
        ({"include": ("*.jpg", "!large*", "!z.jpg")}, "a.jpg pictures/b.jpg pictures/raw/c.jpg"),
        ({"include": ("entry",)}, "entry/e"),
        ({"exclude": ("*.jpg",)}, "a.txt pictures/raw/d.raw entry/e"),
        ({"exclude": ("/pictures", "*.jpg", "!a.jpg")}, "a.jpg a.txt entry/e"),
        ({"include": ("raw/",), "exclude": ("*.jpg",)}, "pictures/raw/d.raw"),
        ({"include": ("a.*",), "exclude": ("*.jpg",)}, "a.txt"),
    ],
)
async def test_what_patterns_leave_comes_back(
    source: Path, tmp_path: Path, patterns: dict[str, Any], paths: str
) -> None:
    restored = await restore_from(store_of(archive_of(source)), tmp_path / "target", **patterns)
    assert restored.report.exit_code == 0
    back = {path: content for path, content in tree(tmp_path / "target/entry").items() if content != "/"}
    assert back == {path: (source / path).read_bytes() for path in paths.split()}


async def test_patterns_pick_from_the_paths_that_are_named(source: Path, tmp_path: Path) -> None:
    await restore_from(store_of(archive_of(source)), tmp_path / "target", b"pictures/raw", include=("*.jpg",))
    assert tree(tmp_path / "target/entry") == {
        "pictures": "/",
        "pictures/raw": "/",
        "pictures/raw/c.jpg": b"pictures/raw/c.jpg",
    }


async def test_a_directory_that_nothing_leaves_out_comes_back_as_it_was(source: Path, tmp_path: Path) -> None:
    source.chmod(0o700)
    os.utime(source, ns=(1, 1_234_567_890_123_456_789))
    await restore_from(store_of(archive_of(source)), tmp_path / "target", exclude=("*.jpg",))
    status = (tmp_path / "target/entry").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o700, 1_234_567_890_123_456_789)


async def test_a_directory_that_matches_comes_back_itself_and_one_that_is_left_out_does_not(
    source: Path, tmp_path: Path
) -> None:
    (source / "empty").mkdir(mode=0o700)
    (source / "pictures").chmod(0o750)
    store = store_of(archive_of(source))
    await restore_from(store, tmp_path / "in", include=("empty/", "/pictures/"), exclude=("*.*", "raw/"))
    assert tree(tmp_path / "in/entry") == {"empty": "/", "pictures": "/"}
    assert (tmp_path / "in/entry/pictures").stat().st_mode & 0o777 == 0o750
    await restore_from(store, tmp_path / "out", exclude=("empty", "pictures", "*.jpg"))
    assert tree(tmp_path / "out/entry") == {"a.txt": b"a.txt", "entry": "/", "entry/e": b"entry/e"}


@pytest.mark.parametrize("patterns", [{"include": ("notes*",)}, {"include": ("/*.txt",)}, {"exclude": ("*.odt",)}])
async def test_an_entry_that_is_a_file_matches_by_its_name(tmp_path: Path, patterns: dict[str, Any]) -> None:
    store = store_of(archive_of(file_entry(tmp_path)))
    await restore_from(store, tmp_path / "target", **patterns)
    assert tree(tmp_path / "target") == {"notes.txt": b"notes"}


@pytest.mark.parametrize("patterns", [{"include": ("*.odt",)}, {"exclude": ("notes*",)}])
async def test_or_does_not(tmp_path: Path, patterns: dict[str, Any]) -> None:
    store = store_of(archive_of(file_entry(tmp_path)))
    with pytest.raises(NotInArchive, match="nothing in"):
        await restore_from(store, tmp_path / "target", **patterns)


def file_entry(base: Path) -> Path:
    (base / "source").mkdir()
    (base / "source/notes.txt").write_text("notes")
    return base / "source/notes.txt"


async def test_where_nothing_is_left_nothing_is_made(source: Path, tmp_path: Path) -> None:
    store = store_of(archive_of(source))
    with pytest.raises(NotInArchive, match=r"nothing in .* is left by --include '\*.odt' --exclude b$"):
        await restore_from(store, tmp_path / "target", include=("*.odt",), exclude=("b",))
    with pytest.raises(NotInArchive, match="nothing in"):
        await restore_from(store, tmp_path / "target", b"entry/entry/e", include=("*.jpg",))
    assert not (tmp_path / "target").exists()


async def test_what_is_in_the_way_of_what_is_left_out_is_in_nobodys_way(source: Path, tmp_path: Path) -> None:
    (tmp_path / "target/entry").mkdir(parents=True)
    (tmp_path / "target/entry/a.txt").write_text("mine")
    restored = await restore_from(store_of(archive_of(source)), tmp_path / "target", include=("a.jpg",))
    assert restored.report.exit_code == 0
    assert tree(tmp_path / "target/entry") == {"a.txt": b"mine", "a.jpg": b"a.jpg"}


@pytest.mark.parametrize("entry", ["entry/", "./entry/", "", "./"])
async def test_they_pick_from_an_archive_without_an_index_too(tmp_path: Path, entry: str) -> None:
    """By the paths inside the entry, whose name may stand in front, as it does in ours."""
    members = {"a.jpg": b"1", "raw/c": b"2", "docs/raw/d": b"3", "docs/b.odt": b"4"}
    store = store_of(tar_gz(*((info(entry + path), content) for path, content in members.items())))

    async def brought(**patterns: Any) -> set[str]:
        with TemporaryDirectory() as target:
            restored = await restore_from(store, Path(target), **patterns)
            assert restored.report.exit_code == 0
            return {path.removeprefix("entry/") for path, content in tree(Path(target)).items() if content != "/"}

    assert await brought(include=("*.jpg", "/raw/")) == {"a.jpg", "raw/c"}
    assert await brought(exclude=("docs/", "*.jpg")) == {"raw/c"}
    assert await brought(include=("/docs/*",), exclude=("/raw",)) == {"docs/raw/d", "docs/b.odt"}
    nothing = await restore_from(store, tmp_path / "none", include=("/d",))
    assert "nothing in the archive is left by --include /d" in str(nothing.report.error)
    assert nothing.report.exit_code == 1


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_is_none_is_an_error(tmp_path: Path, option: str) -> None:
    options: dict[str, Any] = {option: ("a", "/")}
    with pytest.raises(SettingsError, match=r"pattern.*names nothing"):
        RestoreSettings(HERE, b"entry", tmp_path, **options)


FILES = ["a", "a.x", "b.x", "d/a", "d/b.x", "d/e/a.x", "d/e/c", "f/a", "f/b.x"]
PATTERNS = st.lists(
    st.sampled_from(["a", "*.x", "/d/", "d/*", "e/", "**/a", "!*.x", "!/d/b.x", "/f/b.x", "d/**", "[ab]*"]), max_size=3
)


@given(
    links=st.lists(st.sampled_from(range(len(FILES))), min_size=len(FILES), max_size=len(FILES)),
    sizes=st.lists(st.sampled_from([0, 10, 2 * SEGMENT + 5]), min_size=len(FILES), max_size=len(FILES)),
    include=PATTERNS,
    exclude=PATTERNS,
    paths=st.lists(st.sampled_from(["d", "d/e", "a", "f/b.x"]), max_size=2),
)
@settings(max_examples=60)
async def test_whatever_is_picked_comes_back_whole_and_names_of_one_file_stay_names_of_one(
    links: list[int], sizes: list[int], include: list[str], exclude: list[str], paths: list[str]
) -> None:
    with TemporaryDirectory() as directory:
        root = Path(directory) / "source/entry"
        for number, path in enumerate(FILES):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            if links[number] < number:
                (root / path).hardlink_to(root / FILES[links[number]])
            else:
                (root / path).write_bytes(Random(number).randbytes(sizes[number]))
        wish = Wish(tuple(map(os.fsencode, paths)), tuple(include), tuple(exclude))
        wanted = [path for path in FILES if is_wanted(wish, path)]
        target = Path(directory) / "target"
        try:
            restored = await restore_from(
                store_of(archive_of(root)), target, *wish.paths, include=wish.include, exclude=wish.exclude
            )
        except NotInArchive:
            assert not wanted
            return
        assert (restored.report.exit_code, restored.report.issues) == (0, ())
        back = {path: content for path, content in tree(target / "entry").items() if content != "/"}
        assert back == {path: (root / path).read_bytes() for path in wanted}
        for one, other in itertools.combinations(wanted, 2):
            are_one = os.path.samefile(root / one, root / other)
            assert os.path.samefile(target / "entry" / one, target / "entry" / other) is are_one


def is_wanted(wish: Wish, path: str) -> bool:
    named = not wish.paths or any(is_at_or_below(os.fsencode(path), wanted) for wanted in wish.paths)
    return named and wish.picks(os.fsencode(f"entry/{path}"), b"entry", is_directory=False)
