"""`run --link-unchanged` against a real sshd: what has not changed is linked to once it was verified, or else sent."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from async_backup import linking
from async_backup.worker_process import JOBS_AT_ONCE
from tests.command import PROGRAM, backup_command, finished, login, started
from tests.nights import HASTY, SIZE, Nights
from tests.other_servers import running_rclone
from tests.sshd import find_sshd, running_sshd
from tests.verifications import lacking_something

if TYPE_CHECKING:
    from tests.sshd import Sshd

pytestmark = pytest.mark.skipif(find_sshd() is None, reason="no sshd on this machine")


@pytest.fixture
def nights(sshd: Sshd, tmp_path: Path) -> Nights:
    """After the first run, whose archives others may link to."""
    found = Nights(sshd, tmp_path, "--link-unchanged")
    found.run()
    return found


def test_what_has_not_changed_is_a_further_name_of_its_newest_archive(nights: Nights) -> None:
    said = nights.run()
    assert nights.are_one_file()
    old, new = nights.archives()
    digest = subprocess.run(["md5sum", new], check=True, capture_output=True, text=True).stdout.split()[0]
    assert f"hash values of {new.name} match\n  recorded: {digest}\n  now:      {digest}\n" in said
    assert f"unchanged: {nights.source}/wiki --> " in said
    assert f"the same file as {old.name})" in said
    assert "; 1 unchanged and linked, 3" in said


def test_all_commands_take_a_link_for_an_archive(nights: Nights, tmp_path: Path) -> None:
    nights.run()
    where = [nights.sshd.destination(nights.target), *login(nights.sshd)]
    assert subprocess.run("cat *.md5 | md5sum -c --quiet", shell=True, cwd=nights.target, check=False).returncode == 0
    assert finished([*PROGRAM, "verify", *where, "--deep"]).returncode == 0
    assert finished([*PROGRAM, "prune", *where, "--keep-last", "1"]).returncode == 0
    assert len(nights.archives()) == 1
    assert finished([*PROGRAM, "restore", *where, "wiki", "--to", str(tmp_path / "back")]).returncode == 0
    assert (tmp_path / "back/wiki/noise").read_bytes() == (nights.source / "wiki/noise").read_bytes()


def test_what_a_program_reads_of_it(nights: Nights) -> None:
    events = [json.loads(line) for line in nights.run("--json").splitlines()]
    ended: dict[str, Any] = {event["entry"]["name"]: event for event in events if event["event"] == "entry_ended"}
    assert (ended["wiki"]["outcome"], ended["wiki"]["same_as"]) == ("committed", nights.archives()[0].name)
    assert (ended["small"]["outcome"], ended["small"]["same_as"]) == ("committed", "")
    assert ended["wiki"]["members"] == 2
    assert ended["wiki"]["raw_size"] > SIZE


@pytest.mark.parametrize("changed", [False, True])
def test_of_many_segments_every_one_decides(sshd: Sshd, tmp_path: Path, changed: bool) -> None:
    nights, segment = Nights(sshd, tmp_path, "--link-unchanged", "--segment-size", "64KiB"), 64 << 10
    noise = nights.source / "wiki/noise"
    noise.write_bytes(os.urandom(segment * 2 * JOBS_AT_ONCE))
    nights.settle()
    nights.run()
    if changed:
        (nights.source / "wiki/z").write_text("new")
    nights.run()
    assert nights.are_one_file() is not changed


def test_the_earlier_one_of_two_times_is_that_of_an_archive() -> None:
    when = datetime(2026, 11, 20, 14, 30, 15)
    margin = int(linking.MARGIN * 1e9)
    made = int(when.timestamp()) * 1_000_000_000
    assert linking._before(when, 0.0) == made - margin
    assert linking._before(when, when.timestamp() + 3600) == made - margin
    assert linking._before(when, when.timestamp() - 3600) == made - margin - 3600 * 1_000_000_000


def test_without_the_option_all_is_sent(nights: Nights) -> None:
    finished(backup_command(nights.sshd, nights.source, "--timestamp-format", "%Y-%m-%d-again", to=nights.target))
    assert not nights.are_one_file()


def test_what_has_changed_is_sent(nights: Nights) -> None:
    with (nights.source / "wiki/noise").open("r+b") as file:
        file.write(b"new")
    assert "unchanged" not in nights.run()
    assert len(nights.archives()) == 2
    assert not nights.are_one_file()


def test_what_changed_just_before_the_last_run_is_sent_again_and_linked_to_the_next_time(nights: Nights) -> None:
    (nights.source / "wiki/new").touch()
    nights.run()
    nights.run()
    assert not any(path.stat().st_nlink > 1 for path in nights.archives())
    nights.settle()
    nights.run()
    nights.run()
    assert nights.archives()[-1].stat().st_nlink > 1


@pytest.mark.parametrize("option", [["--exclude", "nothing-else"], ["--exclude", "noise"]])
def test_what_would_be_in_the_archive_decides(nights: Nights, option: list[str]) -> None:
    nights.run(*option)
    assert nights.are_one_file() is (option[1] == "nothing-else")


def test_an_archive_without_attributes_is_not_one_with_them(nights: Nights) -> None:
    nights.run("--no-xattrs")
    assert not nights.are_one_file()
    nights.run("--no-xattrs")
    assert nights.archives()[-1].stat().st_nlink == 2


def test_a_damaged_archive_is_named_and_the_entry_sent(nights: Nights) -> None:
    [old] = nights.archives()
    with old.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"rot")
    said = nights.run("--retries", "0")
    assert f"{old.name} on the server is damaged" in said
    assert len(nights.archives()) == 2
    assert not nights.are_one_file()
    where = [nights.sshd.destination(nights.target), *login(nights.sshd)]
    assert finished([*PROGRAM, "restore", *where, "wiki", "--to", str(nights.target / "back")]).returncode == 0


@pytest.mark.parametrize("lacking", ["its checksum file", "its end", "something"])
def test_what_is_no_whole_and_verified_archive_of_ours_is_left_alone(nights: Nights, lacking: str) -> None:
    [old] = nights.archives()
    if lacking == "its end":
        os.truncate(old, old.stat().st_size - 10)
    elif lacking == "something":
        content = lacking_something(old.read_bytes())
        old.write_bytes(content)
        old.with_name(old.name + ".md5").write_text(f"{hashlib.md5(content).hexdigest()}  {old.name}\n")
    else:
        old.with_name(old.name + ".md5").unlink()
    nights.run()
    assert not nights.are_one_file()
    assert old.stat().st_nlink == 1


def test_a_server_that_makes_no_links_is_told_of_once_and_gets_all(tmp_path: Path) -> None:
    with running_sshd(tmp_path / "server", authorized_options='command="internal-sftp -P hardlink"') as sshd:
        nights = Nights(sshd, tmp_path, "--link-unchanged")
        shutil.copytree(nights.source / "wiki", nights.source / "wiki2")
        nights.settle()
        nights.run()
        assert nights.run().count("no links at sftp://") == 1
        assert len(nights.archives()) == 2
        assert not any(path.stat().st_nlink > 1 for path in nights.archives())


def test_a_server_that_says_it_made_a_link_and_made_none_gets_all(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with running_rclone(tmp_path / "server") as server:
        nights = Nights(server, tmp_path, "--link-unchanged")
        nights.target, nights.there = tmp_path / "server/root/backups", Path("/backups")
        for _ in range(2):
            said = nights.run()
        assert said.count("and has made none") == 1
        assert len(nights.archives()) == 2


def test_checksum_files_have_to_be_written(nights: Nights) -> None:
    assert "--no-checksum-file" in nights.run("--no-checksum-file", code=2)


def test_a_link_that_waits_for_another_destination_is_not_left_by_an_interrupt(nights: Nights, tmp_path: Path) -> None:
    time.sleep(1)  # for another second in the name
    before = set(nights.target.iterdir())
    other = nights.sshd.destination(tmp_path / "other")
    command = backup_command(nights.sshd, nights.source, "--to", other, to=nights.there)
    options = ["--link-unchanged", "--only", "wiki", "--limit-rate", "50k"]
    with started([*HASTY, *command[len(PROGRAM) :], *options]) as running:
        while not any(path.stat().st_nlink == 2 for path in nights.target.iterdir()):
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
    assert set(nights.target.iterdir()) == before
    assert list((tmp_path / "other").iterdir()) == []


def test_an_archive_that_is_gone_meanwhile_is_no_trouble(nights: Nights) -> None:
    shutil.rmtree(nights.target)
    nights.run()
    assert len(nights.archives()) == 1
