"""Archives that mean harm: nothing leaves the directory, nothing is written through a link, nothing gains rights."""

from __future__ import annotations

import os
import stat
import struct
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from async_backup.unpack.rules import IssueKind, Overwrite
from tests.everything import DEFAULT, GROUP_OBJ, OTHER, USER_OBJ, acl
from tests.restores import archive_of, info, restore_from, store_of, tar_gz, tree
from tests.trees import IS_ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.restores import Restored

pytestmark = pytest.mark.anyio

CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "outside" / "target"


@pytest.fixture(autouse=True)
def _nothing_leaves(tmp_path: Path, target: Path) -> None:
    target.parent.mkdir()
    (target.parent / "precious").write_text("precious")


def untouched(target: Path) -> bool:
    there = [path.name for path in target.parent.iterdir()]
    return sorted(there) == ["precious", "target"] and (target.parent / "precious").read_text() == "precious"


async def restored(target: Path, *members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], **options: Any) -> Restored:
    return await restore_from(store_of(tar_gz(*members)), target, **options)


@pytest.mark.parametrize("path", ["../precious", "a/../../precious", "a/..", "..", "/../precious"])
async def test_a_path_with_two_dots_is_refused(target: Path, path: str) -> None:
    outcome = await restored(target, (info(path), b"harm"), (info("fine"), b"fine"))
    assert outcome.told == {(path.encode(), "refused")}
    assert outcome.report.exit_code == 3
    assert tree(target) == {"fine": b"fine"}
    assert untouched(target)


async def test_an_absolute_path_lands_below_the_directory(target: Path) -> None:
    await restored(target, (info(f"{target.parent}/precious"), b"harm"))
    assert untouched(target)
    assert (target / f"{target.parent}/precious".lstrip("/")).read_text() == "harm"


@pytest.mark.parametrize("link", ["..", "/", "../precious", "a/../..", "./../x", "b/../c", "/etc/passwd"])
async def test_a_link_that_leads_out_is_refused_unless_asked_for(target: Path, link: str) -> None:
    outcome = await restored(target, info("a", tarfile.SYMTYPE, link))
    assert outcome.told == {(b"a", "refused")}
    assert tree(target) == {}
    await restored(target, info("a", tarfile.SYMTYPE, link), outside_links=True)
    assert tree(target) == {"a": f"-> {link}"}


@pytest.mark.parametrize(
    ("path", "link"), [("a", "b"), ("d/a", "../b"), ("d/e/a", "../../b/c"), ("d/a", "."), ("a", "./b")]
)
async def test_a_link_that_stays_inside_comes_back(target: Path, path: str, link: str) -> None:
    outcome = await restored(target, info(path, tarfile.SYMTYPE, link))
    assert outcome.report.exit_code == 0
    assert os.readlink(target / path) == link


@pytest.mark.parametrize("kept", [False, True])
async def test_nothing_is_written_through_a_link_of_the_archive(target: Path, kept: bool) -> None:
    members = (info("a", tarfile.SYMTYPE, ".."), (info("a/precious"), b"harm"), (info("a/target/x"), b"harm"))
    await restored(target, *members, outside_links=kept)
    assert untouched(target)


async def test_no_hard_link_takes_in_what_is_outside(target: Path) -> None:
    outcome = await restored(
        target,
        info("a", tarfile.SYMTYPE, ".."),
        info("b", tarfile.LNKTYPE, "a/precious"),
        info("c", tarfile.LNKTYPE, "../precious"),
        info("d", tarfile.LNKTYPE, str(target.parent / "precious")),
        outside_links=True,
    )
    assert outcome.report.exit_code == 3
    assert tree(target) == {"a": "-> .."}
    assert (target.parent / "precious").stat().st_nlink == 1


async def test_no_hard_link_is_made_to_a_link(target: Path) -> None:
    await restored(
        target, info("a", tarfile.SYMTYPE, "../precious"), info("b", tarfile.LNKTYPE, "a"), outside_links=True
    )
    assert tree(target) == {"a": "-> ../precious"}


async def test_set_id_bits_and_capabilities_come_only_when_asked_for(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "entry"
    source.mkdir()
    (source / "program").write_text("#!")
    (source / "program").chmod(0o6755)
    if IS_ROOT:
        os.setxattr(source / "program", "security.capability", CAPABILITY)
    source.chmod(0o2775)
    content = archive_of(source)
    outcome = await restore_from(store_of(content), target)
    assert outcome.report.exit_code == 0
    assert outcome.report.counts == {IssueKind.NOTE: 1 + IS_ROOT}
    assert stat.S_IMODE((target / "entry/program").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "entry").stat().st_mode) == 0o2775
    assert "security.capability" not in os.listxattr(target / "entry/program")
    await restore_from(store_of(content), target / "again", same_permissions=True)
    assert stat.S_IMODE((target / "again/entry/program").stat().st_mode) == 0o6755
    assert not IS_ROOT or os.getxattr(target / "again/entry/program", "security.capability") == CAPABILITY


async def test_devices_and_fifos_come_only_when_asked_for(target: Path) -> None:
    outcome = await restored(target, info("fifo", tarfile.FIFOTYPE), info("null", tarfile.CHRTYPE))
    assert outcome.told == {(b"fifo", "refused"), (b"null", "refused")}
    assert tree(target) == {}
    await restored(target, info("fifo", tarfile.FIFOTYPE, mode=0o622), devices=True)
    assert stat.S_ISFIFO((target / "fifo").stat().st_mode)
    assert stat.S_IMODE((target / "fifo").stat().st_mode) == 0o622


async def test_what_could_not_be_set_is_said_once(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from async_backup.unpack import attributes

    monkeypatch.setattr(attributes, "_IS_ROOT", False)
    members = [info(f"file{number}") for number in range(50)]
    for member in members:
        member.uid = 4242
    outcome = await restored(target, *[(member, b"x") for member in members])
    assert len(outcome.report.issues) == 1
    assert outcome.report.counts == {IssueKind.NOTE: 50}
    assert outcome.report.exit_code == 0
    assert len(tree(target)) == 50


async def test_a_mode_that_lets_nobody_in_does_not_lock_its_own_files_out(target: Path) -> None:
    members = (info("a", tarfile.DIRTYPE, mode=0), info("a/b", tarfile.DIRTYPE, mode=0o500), (info("a/b/c"), b"1"))
    await restored(target, *members)
    assert stat.S_IMODE((target / "a").stat().st_mode) == 0
    (target / "a").chmod(0o700)
    assert (target / "a/b/c").read_text() == "1"


async def test_names_that_are_nothing_are_refused(target: Path) -> None:
    outcome = await restored(target, (info("."), b"1"), (info("a"), b"2"))
    assert tree(target) == {"a": b"2"}
    assert outcome.report.exit_code == 3


async def test_a_path_longer_than_the_system_takes_at_once_comes_back(tmp_path: Path, target: Path) -> None:
    path = "/".join(["d" * 200] * 30) + "/file"
    outcome = await restored(target, (info(path), b"deep"))
    assert outcome.report.exit_code == 0
    assert outcome.report.files == 1


@pytest.mark.skipif(not IS_ROOT, reason="only root gives files to others")
async def test_modes_and_groups_are_the_archives_whatever_the_directory_passes_on(target: Path) -> None:
    target.mkdir()
    os.chown(target, 0, 4242)
    target.chmod(0o2775)
    try:
        os.setxattr(target, DEFAULT, acl((USER_OBJ, 7), (GROUP_OBJ, 0), (OTHER, 0)))
    except OSError:
        pytest.skip("no ACLs on this file system")
    members: list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]] = [
        (info("file"), b"1"),
        info("dir", tarfile.DIRTYPE, mode=0o755),
        (info("dir/large", mode=0o640), b"2" * 2_000_000),
    ]
    outcome = await restored(target, *members, overwrite=Overwrite.ALWAYS)
    assert outcome.report.exit_code == 0
    for name, mode in (("file", 0o644), ("dir", 0o755), ("dir/large", 0o640)):
        status = (target / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (mode, 0)
        assert os.listxattr(target / name) == []


async def test_times_that_the_file_system_does_not_hold_are_said(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_time = os.utime

    def clamped(path: Any, *, ns: tuple[int, int], **options: Any) -> None:
        set_time(path, ns=(max(ns[0], 0), max(ns[1], 0)), **options)

    monkeypatch.setattr(os, "utime", clamped)
    old = info("old")
    old.mtime = -5_000_000_000
    outcome = await restore_from(store_of(tar_gz((old, b"1"), format=tarfile.PAX_FORMAT)), target)
    assert outcome.report.counts == {IssueKind.ATTRIBUTE: 1}
    assert outcome.report.exit_code == 3
