"""An account that may add archives and remove nothing, as docs/security.md sets it up, on a real sshd."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from async_backup.remote.naming import RunId
from tests.command import PROGRAM, backup_command, finished, login, started
from tests.sshd import find_sshd, running_sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.sshd import Sshd

pytestmark = pytest.mark.skipif(find_sshd() is None, reason="no sshd on this machine")

NO_REMOVAL = "-P remove,rmdir,setstat"
STRICT = "-P remove,rmdir,setstat,fsetstat,lsetstat,posix-rename,hardlink,symlink,copy-data"
ONLY_NEEDED = "-p open,close,read,write,lstat,stat,fstat,opendir,readdir,mkdir,realpath,rename,fsync,statvfs,limits"
HALF_A_MINUTE = 30.0
DEAD = replace(RunId.of_this_process(), boot="00000000")
"""A run of this machine before it was started last."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    entry = tmp_path / "source" / "entry"
    entry.mkdir(parents=True)
    (entry / "file").write_bytes(os.urandom(300_000))
    return entry.parent


@pytest.fixture
def upload_only(tmp_path: Path) -> Iterator[Callable[[str], Sshd]]:
    """Starts a server on which the key of every test may do only what `restrictions` of sftp-server leave."""
    with ExitStack() as running:

        def start(restrictions: str) -> Sshd:
            forced = f'restrict,command="internal-sftp {restrictions}"'
            return running.enter_context(running_sshd(tmp_path / "server", authorized_options=forced))

        yield start


def with_full_key(server: Sshd) -> Sshd:
    """The same server, with another key that has no restrictions."""
    key = server.key.with_name("full_key")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with (server.key.parent / "authorized_keys").open("a") as authorized:
        authorized.write(key.with_name("full_key.pub").read_text())
    return replace(server, key=key)


def command(server: Sshd, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    return finished([*PROGRAM, name, server.destination(), *more, *login(server)])


def archives(server: Sshd) -> list[Path]:
    return sorted(server.directory.glob("entry-*.tar.gz"))


def unfinished(server: Sshd) -> list[Path]:
    return sorted(server.directory.glob(".*.part"))


def by_hand(server: Sshd, line: str) -> int:
    """What OpenSSH's own client says to one line; it overwrites wherever a server lets it."""
    options = ["-i", str(server.key), "-o", f"UserKnownHostsFile={server.known_hosts}", "-o", "IdentitiesOnly=yes"]
    where = ["-F", os.devnull, "-b", "-", "-P", str(server.port), f"{server.user}@{server.host}"]
    return subprocess.run(
        ["sftp", "-q", *options, *where], input=line, text=True, capture_output=True, check=False
    ).returncode


@pytest.mark.parametrize("restrictions", [NO_REMOVAL, STRICT, ONLY_NEEDED])
def test_a_run_commits_archives_that_were_read_back(
    upload_only: Callable[[str], Sshd], source: Path, tmp_path: Path, restrictions: str
) -> None:
    server = upload_only(restrictions)
    done = finished(backup_command(server, source))
    assert done.returncode == 0, done.stderr
    assert "read back" in done.stdout
    assert len(archives(server)) == 1
    assert command(server, "verify", "--deep").returncode == 0
    restored = command(server, "restore", "entry", "--to", str(tmp_path / "back"))
    assert restored.returncode == 0, restored.stderr
    assert (tmp_path / "back/entry/file").read_bytes() == (source / "entry/file").read_bytes()


def test_the_only_thing_left_is_the_file_by_which_writing_was_tried(
    upload_only: Callable[[str], Sshd], source: Path
) -> None:
    server = upload_only(NO_REMOVAL)
    finished(backup_command(server, source))
    [probe] = unfinished(server)
    assert probe.name.startswith(".probe.")
    assert probe.stat().st_size <= 4096


def test_an_account_that_may_not_rename_is_told_so_before_anything_is_sent(
    upload_only: Callable[[str], Sshd], source: Path
) -> None:
    server = upload_only("-P rename,posix-rename")
    done = finished(backup_command(server, source))
    assert done.returncode == 1
    assert f"files can be made in {server.directory}, but not renamed" in done.stderr
    assert os.listdir(server.directory) == []


def test_a_run_leaves_what_it_may_not_remove_and_one_with_another_key_removes_it(
    upload_only: Callable[[str], Sshd], source: Path
) -> None:
    server = upload_only(NO_REMOVAL)
    left = server.directory / os.fsdecode(DEAD.temporary_name(b"entry"))
    left.write_bytes(b"of a run that died")
    assert finished(backup_command(server, source)).returncode == 0
    assert left.exists()
    done = finished(backup_command(with_full_key(server), source, "--timestamp-format", "%Y-%m-%d-%H%M%S"))
    assert done.returncode == 0, done.stderr
    assert unfinished(server) == []


def test_an_interrupted_run_names_what_it_could_not_remove(upload_only: Callable[[str], Sshd], source: Path) -> None:
    (source / "entry" / "large").write_bytes(os.urandom(20 << 20))
    server = upload_only(NO_REMOVAL)
    run = started(backup_command(server, source, "--limit-rate", "1M"))
    deadline = time.monotonic() + HALF_A_MINUTE
    while not [file for file in unfinished(server) if file.name.startswith(".entry-") and file.stat().st_size]:
        assert time.monotonic() < deadline, "the run sent nothing"
        assert run.poll() is None, run.communicate()
    run.send_signal(signal.SIGTERM)
    output, errors = run.communicate(timeout=HALF_A_MINUTE)
    assert run.returncode == 130
    assert archives(server) == []
    [left] = [file for file in unfinished(server) if file.name.startswith(".entry-")]
    assert left.name in output + errors


def test_prune_needs_the_other_key(upload_only: Callable[[str], Sshd], source: Path) -> None:
    server = upload_only(NO_REMOVAL)
    finished(backup_command(server, source))
    [first] = archives(server)
    first.rename(first.with_name("entry-2020-01-01T000000.tar.gz"))
    finished(backup_command(server, source))
    older, newer = archives(server)
    refused = command(server, "prune", "--keep-last", "1")
    assert refused.returncode == 3
    assert older.name in refused.stderr
    assert archives(server) == [older, newer]
    assert command(with_full_key(server), "prune", "--keep-last", "1").returncode == 0
    assert archives(server) == [newer]


def test_the_key_opens_no_shell(upload_only: Callable[[str], Sshd], source: Path) -> None:
    done = finished(backup_command(upload_only(NO_REMOVAL), source, "--verify", "command"))
    assert done.returncode == 1
    assert "--verify auto or readback" in done.stderr


@pytest.mark.parametrize("restrictions", [STRICT, ONLY_NEEDED])
@pytest.mark.parametrize("attempt", ["rm {0}", "rename {1} {0}", "chmod 0 {0}", "ln -s {1} {0}2", "ln {0} {0}2"])
def test_what_a_thief_of_the_key_cannot_do(
    upload_only: Callable[[str], Sshd], source: Path, restrictions: str, attempt: str
) -> None:
    server = upload_only(restrictions)
    finished(backup_command(server, source))
    [archive] = archives(server)
    other = server.directory / "other"
    other.write_bytes(b"other")
    before = sorted(server.directory.iterdir()), archive.read_bytes(), archive.stat().st_mode
    assert by_hand(server, attempt.format(archive, other)) != 0
    assert (sorted(server.directory.iterdir()), archive.read_bytes(), archive.stat().st_mode) == before


def test_the_short_list_lets_a_thief_replace_an_archive_by_posix_rename(
    upload_only: Callable[[str], Sshd], source: Path
) -> None:
    server = upload_only(NO_REMOVAL)
    finished(backup_command(server, source))
    [archive] = archives(server)
    (server.directory / "other").write_bytes(b"other")
    assert by_hand(server, f"rename {server.directory / 'other'} {archive}") == 0
    assert archive.read_bytes() == b"other"


def test_no_list_keeps_a_thief_from_writing_into_an_archive_but_verify_finds_it(
    upload_only: Callable[[str], Sshd], source: Path, tmp_path: Path
) -> None:
    server = upload_only(STRICT)
    finished(backup_command(server, source))
    [archive] = archives(server)
    (tmp_path / "other").write_bytes(b"other")
    assert by_hand(server, f"put {tmp_path / 'other'} {archive}") == 0
    assert archive.read_bytes() == b"other"
    found = command(server, "verify")
    assert found.returncode == 3
    assert archive.name in found.stderr
