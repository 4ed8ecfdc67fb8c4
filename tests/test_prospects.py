"""A dry run foresees of every member what the restore then says of it."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backup.archive.index import Member
from async_backup.archive.member import DIRECTORY, REGULAR
from async_backup.archive_names import NameParser
from async_backup.catalog import read_catalog
from async_backup.errors import RestoreError
from async_backup.restoring.foreseen import foresee
from async_backup.restoring.model import RestoreSettings
from async_backup.restoring.prospects import Prospects
from async_backup.restoring.rules import rules_of
from async_backup.unpack.rules import IssueKind, Overwrite
from tests.restores import HERE, LIMITS, NAME, archive_of, restore_from, store_of
from tests.test_overwrite import TIME, put
from tests.trees import IS_ROOT, SEGMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backup.remote.memory import MemoryStore
    from async_backup.unpack.rules import Issue

pytestmark = pytest.mark.anyio

FILES = {"a": b"a", "d/a": b"d/a", "d/large": b"large" * SEGMENT, "d/e/b": b"", "f/c": b"f/c"}
LINKS = {"d/inside": "a", "f/outside": "/etc", "up": "../.."}
HARD_LINKS = {"d/e/hard": "a", "f/hard": "d/large", "hard": "d/large"}
PLACES = [*FILES, *LINKS, *HARD_LINKS, "d", "d/e", "f", "d/pipe"]
THERE = st.sampled_from(["gone", "older", "newer", "empty directory", "directory", "link", "dangling"])


NOBODY = 65534
PLACES_TO_WRITE = {
    b"closed/file": REGULAR,
    b"closed/d": DIRECTORY,
    b"open/file": REGULAR,
    b"missing/file": REGULAR,
    b"./": DIRECTORY,
    b"./.": REGULAR,
    b"closed/new/file": REGULAR,
    b"open/new/deep/file": REGULAR,
    b"secret": DIRECTORY,
    b"secret/file": REGULAR,
}


def record(path: bytes, kind: bytes) -> Member:
    return Member(path, kind, 0o644, 0, 0, 0, 0, 0, 0, 0, b"", 0)


def build(root: Path) -> Path:
    for path, content in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    for path, link in LINKS.items():
        (root / path).symlink_to(link)
    for path, target in HARD_LINKS.items():
        (root / path).hardlink_to(root / target)
    os.mkfifo(root / "d/pipe")
    for made in root.rglob("*"):
        os.utime(made, (TIME, TIME), follow_symlinks=False)
    return root


async def foreseen(store: MemoryStore, target: Path, **options: Any) -> set[Issue]:
    wanted = RestoreSettings(HERE, NAME, target, limits=LIMITS, **options)
    archive = (await read_catalog(store, NameParser(wanted.timestamp_formats))).find(NAME)
    return {issue for _, issue in (await foresee(store, archive, wanted)).members() if issue}


def change(target: Path, path: str, kind: str, outside: Path) -> None:
    """Let something else stand there, or nothing."""
    if any((target / above).is_symlink() or (target / above).is_file() for above in Path(path).parents):
        return
    if (target / path).is_dir() and not (target / path).is_symlink():
        shutil.rmtree(target / path)
    else:
        (target / path).unlink(missing_ok=True)
    put(target / path, kind.replace("gone", ""), outside)


@given(
    is_there=st.booleans(),
    there=st.dictionaries(st.sampled_from(PLACES), THERE, max_size=6),
    options=st.fixed_dictionaries(
        {"overwrite": st.sampled_from(Overwrite), "outside_links": st.booleans(), "devices": st.booleans()}
    ),
)
@settings(max_examples=100, deadline=None)
async def test_what_is_foreseen_is_what_comes(is_there: bool, there: dict[str, str], options: dict[str, Any]) -> None:
    with TemporaryDirectory() as directory:
        base = Path(directory)
        store = store_of(archive_of(build(base / "source/entry")))
        (base / "outside").mkdir()
        (base / "outside/precious").touch()
        if is_there:
            await restore_from(store, base / "target", outside_links=True, devices=True)
        for path, kind in sorted(there.items()):
            change(base / "target/entry", path, kind, base / "outside")
        try:
            expected = await foreseen(store, base / "target", **options)
        except RestoreError as error:
            with pytest.raises(RestoreError, match=re.escape(str(error))):
                await restore_from(store, base / "target", **options)
            return
        restored = await restore_from(store, base / "target", **options)
        assert {issue for issue in restored.report.issues if not issue.kind.is_common} == expected


@contextmanager
def nobody_looks() -> Iterator[Path]:
    """A directory that a user may look at who is neither root nor its owner, which is who runs until the end."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        if not IS_ROOT:
            yield Path(directory)
            return
        try:
            yield Path(directory)
        finally:
            os.seteuid(0)


def test_a_directory_that_may_not_be_written_to_is_foreseen() -> None:
    with nobody_looks() as target:
        (target / "closed/d").mkdir(parents=True)
        (target / "closed").chmod(0o555)
        (target / "open").mkdir()
        (target / "secret").mkdir(mode=0o700)
        for path in (target, target / "open"):
            path.chmod(0o777)
        if IS_ROOT:
            os.seteuid(NOBODY)
        with Prospects(rules_of(RestoreSettings(HERE, NAME, target))) as prospects:
            issues = {path: prospects.issue_of(record(path, kind)) for path, kind in PLACES_TO_WRITE.items()}
    denied = {path: (issue.kind, issue.reason) for path, issue in issues.items() if issue}
    assert denied == {
        b"closed/file": (IssueKind.FAILED, "Permission denied"),
        b"closed/new/file": (IssueKind.FAILED, "Permission denied"),
        b"secret/file": (IssueKind.FAILED, "Permission denied"),
        b"./.": (IssueKind.REFUSED, "it has no path"),
    }
