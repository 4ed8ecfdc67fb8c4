"""Restoring from real servers, with real processes: over lines that break, at the cost that was promised."""

from __future__ import annotations

import json
import os
import shlex
import signal
import tarfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import Event

from async_backup import unpack_process
from async_backup.backing_up import backup
from async_backup.config import Destination, Limits, Settings, SshSettings
from async_backup.restoring.model import BytesRestored, RestoreSettings
from async_backup.restoring.restore import restore
from async_backup.unpack.disk import UNFINISHED
from tests.command import PROGRAM, finished, login, started
from tests.embedded import embedded_server
from tests.killers import kill_once_restoring
from tests.proxy import BlackHole, Cut, FaultProxy
from tests.restores import info, tar_gz, tree
from tests.trees import SEGMENT

if TYPE_CHECKING:
    from async_backup.restoring.model import RestoreEvent
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

LIMITS = Limits(processes=2, connections=2, channels=2, segment_size=SEGMENT)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An entry of 10 MB in 150 segments, with a small file at its end."""
    root = tmp_path_factory.mktemp("source")
    (root / "entry/sub").mkdir(parents=True)
    for number in range(300):
        (root / f"entry/sub/file{number:03}").write_bytes(Random(number).randbytes(20_000))
    (root / "entry/large").write_bytes(Random(-1).randbytes(4_000_000))
    (root / "entry/sub/last").write_bytes(b"x" * 1024)
    return root


@pytest.fixture(scope="module")
def target(sshd: Sshd, source: Path) -> Path:
    """The directory on the server that holds the entry's archive."""
    directory = sshd.directory / "restores"
    settings = Settings((source,), (Destination.parse(sshd.destination(directory)),), ssh(sshd), LIMITS)
    assert anyio.run(backup, settings).exit_code == 0
    return directory


def ssh(server: Sshd) -> SshSettings:
    return SshSettings((server.key,), server.known_hosts, Path(os.devnull))


def known_at(server: Sshd, port: int, base: Path) -> SshSettings:
    """The settings for the server behind a proxy."""
    hosts = base / f"hosts{port}"
    hosts.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{port} "))
    return SshSettings((server.key,), hosts, Path(os.devnull), timeout=2.0)


def restore_command(server: Sshd, directory: Path, *arguments: str) -> list[str]:
    return [*PROGRAM, "restore", server.destination(directory), *arguments, *login(server)]


def through(server: Sshd, proxy: FaultProxy, directory: Path, base: Path, *paths: bytes) -> RestoreSettings:
    destination = Destination("127.0.0.1", os.fsencode(directory), server.user, proxy.port)
    return RestoreSettings(destination, b"entry", base / "restored", paths, known_at(server, proxy.port, base), LIMITS)


async def test_all_comes_back_through_processes(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    settings = RestoreSettings(
        Destination.parse(sshd.destination(target)), b"entry", tmp_path / "new/dir", ssh=ssh(sshd), limits=LIMITS
    )
    report = await restore(settings)
    assert (report.exit_code, report.error, report.issues) == (0, None, ())
    assert tree(tmp_path / "new/dir/entry") == tree(source / "entry")


@pytest.mark.parametrize("fault", [Cut(after=200_000), Cut(after=6_000, once=True), Cut(after=9_000, reset=False)])
async def test_it_goes_on_after_lost_connections(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path, fault: Cut
) -> None:
    async with FaultProxy(sshd.port, fault=fault) as proxy:
        report = await restore(through(sshd, proxy, target, tmp_path))
        assert proxy.fired or fault.after == 200_000
    assert report.exit_code == 0
    assert tree(tmp_path / "restored/entry") == tree(source / "entry")


async def test_a_line_that_dies_for_good_ends_it_and_says_what_is_there(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    async with FaultProxy(sshd.port) as proxy:
        settings = replace(through(sshd, proxy, target, tmp_path), limits=replace(LIMITS, retries=0))

        def die(event: RestoreEvent) -> None:
            if isinstance(event, BytesRestored):
                proxy.fault = BlackHole()

        report = await restore(settings, die)
    assert report.exit_code == 3
    assert report.error is not None
    there = tree(tmp_path / "restored/entry")
    assert 0 < report.files < len(tree(source / "entry"))
    assert not any(".restore-" in name for name in there)
    assert all(found == tree(source / "entry")[name] for name, found in there.items())


async def test_one_small_file_costs_little_of_a_large_archive(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    archive_size = next(target.glob("*.tar.gz")).stat().st_size
    events: list[RestoreEvent] = []
    settings = RestoreSettings(
        Destination.parse(sshd.destination(target)),
        b"entry",
        tmp_path / "restored",
        (b"sub/last",),
        ssh=ssh(sshd),
        limits=LIMITS,
    )
    report = await restore(settings, events.append)
    assert report.exit_code == 0
    assert (tmp_path / "restored/entry/sub/last").read_bytes() == b"x" * 1024
    assert sum(event.stored for event in events if isinstance(event, BytesRestored)) < archive_size / 50


async def test_stopping_leaves_whole_files_only(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    stop = Event()
    settings = RestoreSettings(
        Destination.parse(sshd.destination(target)), b"entry", tmp_path / "restored", ssh=ssh(sshd), limits=LIMITS
    )
    report = await restore(settings, lambda event: stop.set() if isinstance(event, BytesRestored) else None, stop=stop)
    assert report.exit_code == 130
    there = tree(tmp_path / "restored/entry")
    assert not any(".restore-" in name for name in there)
    assert all(found == tree(source / "entry")[name] for name, found in there.items())


async def test_a_process_that_dies_costs_nothing(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killing = partial(kill_once_restoring, str(tmp_path / "flag"))
    monkeypatch.setattr(unpack_process, "restore_members", killing)
    settings = RestoreSettings(
        Destination.parse(sshd.destination(target)), b"entry", tmp_path / "restored", ssh=ssh(sshd), limits=LIMITS
    )
    report = await restore(settings)
    assert (tmp_path / "flag").exists()
    assert (report.exit_code, report.error, report.issues) == (0, None, ())
    assert (tmp_path / "restored/entry/sub").stat().st_mode & 0o777 == 0o755
    assert tree(tmp_path / "restored/entry") == tree(source / "entry")


async def test_the_servers_own_implementation_of_sftp_gives_the_same(source: Path, tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as server:
        settings = Settings((source,), (server.destination(),), server.ssh(), LIMITS)
        assert (await backup(settings)).exit_code == 0
        report = await restore(
            RestoreSettings(server.destination(), b"entry", tmp_path / "restored", ssh=server.ssh(), limits=LIMITS)
        )
    assert report.exit_code == 0
    assert tree(tmp_path / "restored/entry") == tree(source / "entry")


def test_the_command_tells_what_it_did(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    done = finished(restore_command(sshd, target, "entry", "--to", str(tmp_path / "restored")))
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith("304 members of entry-")
    assert f"restored to {tmp_path}/restored: 9.5 MiB in " in line
    assert tree(tmp_path / "restored/entry") == tree(source / "entry")
    again = finished(restore_command(sshd, target, "entry", "--to", str(tmp_path / "restored")))
    assert again.returncode == 1
    assert "nothing was written, since these exist already" in again.stderr
    assert "--overwrite" in again.stderr


def test_a_working_directory_that_is_gone_does_no_harm(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    command = shlex.join(restore_command(sshd, target, "entry", "--to", str(tmp_path / "restored")))
    script = f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec {command}"
    done = finished(["bash", "-c", script])
    assert (done.returncode, done.stderr) == (0, "")
    assert tree(tmp_path / "restored/entry") == tree(source / "entry")


def test_the_command_speaks_json(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    done = finished(restore_command(sshd, target, "entry", "sub/last", "--to", str(tmp_path / "restored"), "--json"))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["restore_started", "bytes_restored", "restore_ended"]
    assert events[-1]["exit_code"] == 0
    assert events[-1]["files"] == 1


def test_what_is_kept_is_counted_and_named_with_v(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    command = restore_command(sshd, target, "entry", "--to", str(tmp_path / "restored"), "--overwrite", "if-newer")
    assert finished(command).returncode == 0
    again, all_named = finished(command), finished([*command, "-v"])
    assert (again.returncode, again.stderr) == (0, "")
    assert "302 files that are not older were there and were kept (-v names them)" in again.stdout
    assert "kept: entry/sub/last: one that is not older is there, and was kept" in all_named.stdout
    assert tree(tmp_path / "restored/entry") == tree(source / "entry")


def test_many_members_refused_for_one_reason_are_named_ten_times_unless_all_are_wanted(
    sshd: Sshd, tmp_path: Path
) -> None:
    directory = sshd.directory / "links"
    directory.mkdir()
    links = [info(f"link{number}", tarfile.SYMTYPE, "/") for number in range(15)]
    (directory / "foreign.tar.gz").write_bytes(tar_gz(*links))
    command = restore_command(sshd, directory, "foreign.tar.gz", "--to", str(tmp_path / "restored"))
    done, all_named = finished(command), finished([*command, "-v"])
    assert done.returncode == all_named.returncode == 3
    assert (done.stderr.count("not restored: link"), all_named.stderr.count("not restored: link")) == (10, 15)
    assert "only counted; -v names them" in done.stderr
    assert "15 members did not come back" in done.stderr


def test_the_command_says_what_is_wrong(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    to = ["--to", str(tmp_path / "restored")]
    wrong = {
        ("entyr",): "did you mean entry?",
        ("entry@yesterday",): "yesterday",
        ("entry@2001-01-01",): "no archive is as old as",
        ("entry", "sub/lost"): "did you mean entry/sub/last?",
        ("entry-2001-01-01T000000.tar.gz",): "did you mean entry-",
    }
    for arguments, words in wrong.items():
        done = finished(restore_command(sshd, target, *arguments, *to))
        assert done.returncode in {1, 2}
        assert words in done.stderr
        assert done.stdout == ""
        assert not (tmp_path / "restored").exists() or tree(tmp_path / "restored") == {}


def test_a_directory_that_is_not_on_the_server_is_named(sshd: Sshd, tmp_path: Path) -> None:
    done = finished(restore_command(sshd, Path("/no/such/place"), "entry", "--to", str(tmp_path / "restored")))
    assert done.returncode == 1
    assert "/no/such/place" in done.stderr


def test_killed_in_the_middle_it_leaves_no_process_and_no_half_file_under_its_name(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    process = started(restore_command(sshd, target, "entry", "--to", str(tmp_path / "restored")))
    deadline = time.monotonic() + 30
    while not (tmp_path / "restored/entry").exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    restored = tmp_path / "restored/entry"
    files = [path for path in restored.rglob("*") if path.is_file() and ".restore-" not in path.name]
    for path in files:
        is_unfinished = path.stat().st_mode & 0o7577 == UNFINISHED & 0o7577
        assert is_unfinished or path.read_bytes() == (source / "entry" / path.relative_to(restored)).read_bytes()
    again = finished(
        restore_command(sshd, target, "entry", "--to", str(tmp_path / "restored"), "--overwrite", "if-newer")
    )
    assert again.returncode == 0
    for path in restored.rglob("*.restore-*"):
        path.unlink()
    assert tree(restored) == tree(source / "entry")
