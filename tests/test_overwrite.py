"""What stands where something is to be restored, whatever it is: replaced, kept or in the way, as was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.errors import RestoreError
from async_backup.unpack.rules import Overwrite
from tests.restores import archive_of, restore_from, store_of, tree
from tests.trees import SEGMENT

pytestmark = pytest.mark.anyio

TIME = 1_500_000_000
FILES = {"a": b"a", "d/a": b"d/a", "d/large": b"large" * SEGMENT, "d/e/b": b"", "f/c": b"f/c" * 1000}
MINE, PRECIOUS = b"mine", b"precious"
THERE = st.sampled_from(["", "", "", "older", "newer", "empty directory", "directory", "link", "dangling"])


def put(path: Path, kind: str, outside: Path) -> None:
    """Something that stands in the way already."""
    if not kind:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind.endswith("directory"):
        path.mkdir()
        if kind == "directory":
            (path / "mine").write_bytes(MINE)
    elif kind in {"link", "dangling"}:
        path.symlink_to(outside / ("precious" if kind == "link" else "nothing"))
    else:
        path.write_bytes(MINE)
        os.utime(path, (TIME, TIME + (100 if kind == "newer" else -100)))


def is_replaced(kind: str, overwrite: Overwrite) -> bool:
    """Whether what the archive has comes there; a link's time is that of its making, which is now."""
    if kind.endswith("directory"):
        return False
    return not kind or kind == "older" or overwrite is Overwrite.ALWAYS


@given(there=st.tuples(*[THERE] * len(FILES)), overwrite=st.sampled_from(Overwrite))
@settings(max_examples=100)
async def test_it_is_as_asked_for_and_nothing_else_is_touched(there: tuple[str, ...], overwrite: Overwrite) -> None:
    with TemporaryDirectory() as directory:
        base = Path(directory)
        kinds = dict(zip(FILES, there, strict=True))
        for path, content in FILES.items():
            file = base / "source/entry" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            os.utime(file, (TIME, TIME))
        (base / "outside").mkdir()
        (base / "outside/precious").write_bytes(PRECIOUS)
        target = base / "target/entry"
        for path, kind in kinds.items():
            put(target / path, kind, base / "outside")
        before = tree(target)
        store = store_of(archive_of(base / "source/entry"))
        try:
            restored = await restore_from(store, base / "target", overwrite=overwrite)
        except RestoreError:
            assert overwrite is Overwrite.NEVER
            assert any(there)
            assert tree(target) == before
            return
        assert overwrite is not Overwrite.NEVER or not any(there)
        after = tree(target)
        for path, kind in kinds.items():
            assert after[path] == (FILES[path] if is_replaced(kind, overwrite) else before[path])
        in_the_way = {path for path, kind in kinds.items() if kind.endswith("directory")}
        told = {os.fsdecode(path).removeprefix("entry/"): kind for path, kind in restored.told}
        assert {path for path, kind in told.items() if kind == "in-the-way"} == in_the_way
        assert restored.report.exit_code == (3 if in_the_way else 0)
        assert tree(base / "outside") == {"precious": PRECIOUS}
        assert {*after} == {*FILES, "d", "d/e", "f", *before}
