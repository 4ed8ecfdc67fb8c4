"""`run --copy-unchanged` against a real sshd: the same archives, of which the server copies what it has already."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.command import PROGRAM, backup_command, finished, login
from tests.nights import Nights
from tests.sshd import find_sshd, running_sshd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sshd import Sshd

pytestmark = pytest.mark.skipif(find_sshd() is None, reason="no sshd on this machine")

SEGMENT = 64 << 10
LARGE = 40 * SEGMENT
OPTIONS = ["--copy-unchanged", "--segment-size", str(SEGMENT)]


@pytest.fixture
def nights(sshd: Sshd, tmp_path: Path) -> Nights:
    """After the first run, of which others may copy."""
    found = Nights(sshd, tmp_path, *OPTIONS)
    (found.source / "wiki/large").write_bytes(os.urandom(LARGE))
    found.run()
    return found


def change(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"new")


def committed(nights: Nights, *options: str) -> dict[str, Any]:
    """What one more run says of `wiki` in JSON."""
    events = [json.loads(line) for line in nights.run("--json", *options).splitlines()]
    return next(event for event in events if event["event"] == "entry_ended" and event["entry"]["name"] == "wiki")


def test_only_what_has_changed_is_sent(nights: Nights) -> None:
    change(nights.source / "wiki/large", LARGE // 2)
    said = nights.run()
    assert " of it copied there)" in said
    assert " copied on the server) in " in said
    old, new = nights.archives()
    assert old.read_bytes() != new.read_bytes()
    assert old.stat().st_ino != new.stat().st_ino


def test_it_is_the_archive_that_would_have_been_sent(nights: Nights, tmp_path: Path) -> None:
    change(nights.source / "wiki/large", 0)
    (nights.source / "wiki/another").write_text("one more")
    assert committed(nights)["copied"] > LARGE // 2
    plain = [*OPTIONS[1:], "--timestamp-format", "%F-plain"]
    assert finished(backup_command(nights.sshd, nights.source, *plain, to=tmp_path / "plain")).returncode == 0
    assert nights.archives()[-1].read_bytes() == next((tmp_path / "plain").glob("wiki-*.gz")).read_bytes()


def test_what_is_quite_new_is_sent(nights: Nights) -> None:
    (nights.source / "wiki/large").write_bytes(os.urandom(LARGE))
    (nights.source / "wiki/noise").write_bytes(os.urandom(LARGE))
    assert committed(nights)["copied"] == 0


def test_without_an_older_archive_all_is_sent(nights: Nights) -> None:
    [old] = nights.archives()
    old.unlink()
    assert committed(nights)["copied"] == 0


def test_damage_that_was_copied_is_found_and_all_is_sent(nights: Nights) -> None:
    [old] = nights.archives()
    change(old, old.stat().st_size // 2)
    found = committed(nights, "--retries", "0")
    assert (found["outcome"], found["attempts"], found["copied"]) == ("committed", 2, 0)
    where = [nights.sshd.destination(nights.target), *login(nights.sshd)]
    assert finished([*PROGRAM, "verify", *where, "wiki", "--deep"]).returncode == 3  # the old one
    old.unlink()
    assert finished([*PROGRAM, "verify", *where, "wiki", "--deep"]).returncode == 0


def test_the_older_archive_is_named_where_what_was_copied_from_it_differs(nights: Nights) -> None:
    [old] = nights.archives()
    change(old, old.stat().st_size // 2)
    assert f"pieces of it were copied from {old.name}: verify tells whether that is damaged" in nights.run()
    for archive in nights.archives()[1:]:
        archive.unlink()
    events = [json.loads(line) for line in nights.run("--json").splitlines()]
    [error] = [event["error"] for event in events if event["event"] == "attempt_failed"]
    assert (error["error"], error["older"]) == ("CopyMismatch", old.name)


def test_an_older_archive_that_is_not_what_its_index_tells_is_left_alone(nights: Nights) -> None:
    [old] = nights.archives()
    os.truncate(old, old.stat().st_size - 1)
    assert committed(nights)["copied"] == 0


def test_what_has_not_changed_at_all_is_linked_to_where_that_is_wanted(nights: Nights) -> None:
    nights.settle()
    nights.run()  # what changed just before the first run was not linked to
    assert committed(nights)["same_as"] == ""
    found = json.loads(
        next(line for line in nights.run("--json", "--link-unchanged").splitlines() if '"same_as": "wiki' in line)
    )
    assert (found["copied"], nights.archives()[-1].stat().st_nlink) == (0, 2)


def test_a_server_that_copies_nothing_is_told_of_once_and_gets_all(tmp_path: Path) -> None:
    with running_sshd(tmp_path / "server", authorized_options='command="internal-sftp -P copy-data"') as sshd:
        nights = Nights(sshd, tmp_path, *OPTIONS)
        for name in ("large", "large2"):
            (nights.source / name).write_bytes(os.urandom(LARGE))
        nights.run()
        assert nights.run().count("no copies at sftp://") == 1
        assert committed(nights)["copied"] == 0
