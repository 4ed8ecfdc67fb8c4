"""A tree with everything comes back whole from the tars that can, and from the others what they can."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, NamedTuple

import pytest

from async_backup.archive.xattrs import ARE_SUPPORTED
from tests.archives import make_archive
from tests.everything import ACCESS, DEFAULT, acl, build_everything, data_of, set_xattr, write_with_holes
from tests.test_tars import BSDTAR, GNU_TAR, UTF8, busybox, judge, python, run, seven_zip

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.archives import Archive

ENTRY = b"entry"
GNU_TAR_WITH_ALL = (GNU_TAR[0], "--xattrs", "--xattrs-include=*", "--acls", *GNU_TAR[1:])
BSDTAR_WITH_ALL = (BSDTAR[0], "--xattrs", "--acls", *BSDTAR[1:])
TIMES, NO_TIMES = ("--times", "--modify-window=-1"), ("--no-times", "--size-only")
"""To the nanosecond; and not at all, since bsdtar 3.6.2 loses the sign of a fraction before 1970."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    source = tmp_path_factory.mktemp("everything")
    (source / "entry").mkdir()
    build_everything(source / "entry")
    return make_archive(source, ENTRY, source / "a.tar.gz")


class Basics(NamedTuple):
    """What every tar restores."""

    mode: int
    owner: tuple[int, int]
    link: bytes
    data: tuple[int, dict[int, bytes]]


def basics(root: Path) -> dict[bytes, Basics]:
    found = {}
    for where, directories, files in os.walk(os.fsencode(root)):
        for name in [*directories, *files]:
            path = os.path.join(where, name)
            status = os.lstat(path)
            data = data_of(Path(os.fsdecode(path))) if S_ISREG(status.st_mode) else (0, {})
            link = os.readlink(path) if os.path.islink(path) else b""
            owner = status.st_uid, status.st_gid
            found[os.path.relpath(path, os.fsencode(root))] = Basics(status.st_mode, owner, link, data)
    return found


def differences(source: Path, restored: Path, times: tuple[str, ...]) -> str:
    """What rsync would have to do: names, types, modes, owners, sizes, hard links, ACLs, extended attributes."""
    command = [judge("rsync"), "-naHAXi", "--delete", *times, f"{source}/", f"{restored}/"]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=UTF8).stdout


def test_nothing_of_everything_is_a_problem(archive: Archive) -> None:
    assert archive.problems == []


@pytest.mark.parametrize(
    ("command", "times"), [(GNU_TAR_WITH_ALL, TIMES), (BSDTAR_WITH_ALL, NO_TIMES)], ids=["gnu-tar", "bsdtar"]
)
def test_everything_comes_back(
    archive: Archive, tmp_path: Path, command: tuple[str, ...], times: tuple[str, ...]
) -> None:
    run(command, archive.path, tmp_path)
    assert differences(archive.path.parent / "entry", tmp_path / "entry", times) == ""
    assert basics(tmp_path / "entry") == basics(archive.path.parent / "entry")


def test_python_restores_all_but_extended_attributes_and_acls(archive: Archive, tmp_path: Path) -> None:
    python(archive.path, tmp_path)
    assert basics(tmp_path / "entry") == basics(archive.path.parent / "entry")


@pytest.mark.parametrize("command", [GNU_TAR_WITH_ALL, BSDTAR_WITH_ALL], ids=["gnu-tar", "bsdtar"])
def test_holes_come_back_as_holes(archive: Archive, tmp_path: Path, command: tuple[str, ...]) -> None:
    run(command, archive.path, tmp_path)
    assert (tmp_path / "entry/holes/large").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("extract", [busybox, seven_zip])
def test_who_does_not_know_sparse_files_finds_them_under_a_name_that_says_so(
    tmp_path: Path, extract: Callable[[Path, Path], None]
) -> None:
    entry, out = tmp_path / "entry", tmp_path / "out"
    entry.mkdir()
    out.mkdir()
    write_with_holes(entry / "holes", 1 << 20, (4096, b"data" * 1024))
    (entry / "plain").write_bytes(b"comes back")
    set_xattr(entry / "plain", "user.bytes", bytes(range(256)))
    extract(make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz").path, out)
    stored = b"2\n4096\n4096\n1048576\n0\n".ljust(512, b"\0") + b"data" * 1024
    assert (out / "entry/GNUSparseFile.0/holes").read_bytes() == stored
    assert (out / "entry/plain").read_bytes() == b"comes back"
    assert not (out / "entry/holes").exists()


@pytest.mark.skipif(not ARE_SUPPORTED, reason="no extended attributes on this system")
def test_without_xattrs_there_are_neither_attributes_nor_acls(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    build_everything(tmp_path / "entry")
    archive = make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz", xattrs=False)
    out = tmp_path / "out"
    out.mkdir()
    run(GNU_TAR_WITH_ALL, archive.path, out)
    assert not any(os.listxattr(path, follow_symlinks=False) for path in out.rglob("*"))


@pytest.mark.skipif(not ARE_SUPPORTED, reason="no extended attributes on this system")
@pytest.mark.parametrize("command", [GNU_TAR_WITH_ALL, BSDTAR_WITH_ALL], ids=["gnu-tar", "bsdtar"])
def test_an_acl_for_users_that_nobody_knows_comes_back(tmp_path: Path, command: tuple[str, ...]) -> None:
    entry, out = tmp_path / "entry", tmp_path / "out"
    entry.mkdir()
    out.mkdir()
    access = acl((1, 7), (2, 5, 2_000_000_000), (4, 5), (8, 1, 1_999_999_999), (16, 7), (32, 0))
    if not (set_xattr(entry, ACCESS, access) and set_xattr(entry, DEFAULT, access)):
        pytest.skip("no ACLs on this file system")
    run(command, make_archive(tmp_path, ENTRY, tmp_path / "a.tar.gz").path, out)
    assert [os.getxattr(out / "entry", name) for name in (ACCESS, DEFAULT)] == [access, access]
