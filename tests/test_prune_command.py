"""`prune` from outside, against a real sshd: what it prints, what it leaves, how it exits."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.command import PROGRAM, finished, login
from tests.shelf import BASE, Shelf, archive_name, at, whole_archive

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sshd import Sshd


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A directory with two archives of two entries each."""
    target = tmp_path / "backups"
    target.mkdir()
    shelf = Shelf()
    for entry in ("wiki", "e\nv\x1bil\udcff"):
        for day in (1, 2):
            shelf.put_archive(entry, at(day))
    for name in shelf.names:
        (target / os.fsdecode(name)).write_bytes(shelf.files[BASE + name])
    return target


def command(sshd: Sshd, target: Path, *more: str) -> list[str]:
    return [*PROGRAM, "prune", sshd.destination(target), *login(sshd), *more]


def archives(target: Path) -> list[bytes]:
    return sorted(name for name in os.listdir(os.fsencode(target)) if name.endswith(b".gz"))


def test_it_says_what_it_removed_and_how_much_is_free(sshd: Sshd, target: Path) -> None:
    done = finished(command(sshd, target, "--keep-last", "1"))
    assert (done.returncode, done.stderr) == (0, "")
    size = f"{len(whole_archive())} B"
    assert sorted(done.stdout.splitlines()[:-1]) == [
        f"removed: e\\nv\\x1bil\\xff-2024-05-01T031500.tar.gz ({size})",
        f"removed: wiki-2024-05-01T031500.tar.gz ({size})",
    ]
    assert done.stdout.splitlines()[-1] == f"removed 2 of 4 archives, {2 * len(whole_archive())} B freed"
    assert archives(target) == sorted(archive_name(entry, at(2)) for entry in ("wiki", "e\nv\x1bil\udcff"))


def test_a_dry_run_shows_what_stays_and_why(sshd: Sshd, target: Path) -> None:
    done = finished(command(sshd, target, "wiki", "--keep-weekly", "4", "--keep-within", "1h", "--dry-run"))
    size = f"{len(whole_archive())} B"
    assert done.stdout.splitlines() == [
        "wiki",
        f"  keep    2024-05-01 03:15:00{size:>11}  oldest weekly",
        f"  keep    2024-05-02 03:15:00{size:>11}  weekly, within",
        "would remove 0 of 2 archives and free 0 B",
        "oldest weekly: kept since there are fewer than asked for",
    ]
    assert len(archives(target)) == 4


def test_json_tells_each_archive_and_each_removal(sshd: Sshd, target: Path) -> None:
    done = finished(command(sshd, target, "wiki", "--keep-last", "1", "--json"))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["archive_judged"] * 2 + ["archive_removed", "prune_ended"]
    assert (events[0]["when"], events[0]["stays"], events[1]["reasons"]) == ("2024-05-01T03:15:00", False, ["last"])
    assert (events[-1]["removed"], events[-1]["exit_code"]) == (1, 0)
    assert len(archives(target)) == 3


def test_json_tells_what_no_rule_applies_to(sshd: Sshd, target: Path) -> None:
    (target / "handmade.tar.gz").write_bytes(whole_archive())
    done = finished(command(sshd, target, "--keep-last", "2", "--json"))
    (told,) = [event for line in done.stdout.splitlines() if (event := json.loads(line))["event"] == "archive_unjudged"]
    assert (told["path"], told["size"]) == ("handmade.tar.gz", len(whole_archive()))
    assert json.loads(done.stdout.splitlines()[-1])["unjudged"] == 1


def test_an_archive_without_a_time_cannot_be_named(sshd: Sshd, target: Path) -> None:
    (target / "handmade.tar.gz").write_bytes(whole_archive())
    done = finished(command(sshd, target, "handmade.tar.gz", "--keep-last", "1"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "handmade.tar.gz is an archive whose name tells no time" in done.stderr
    assert len(archives(target)) == 5


def test_symbolic_links_are_never_followed_nor_removed(sshd: Sshd, target: Path) -> None:
    outside = target.parent / "outside.tar.gz"
    outside.write_bytes(whole_archive())
    link, checksum_link = target / "wiki-2024-04-01T031500.tar.gz", target / "wiki-2024-05-01T031500.tar.gz.sha1"
    link.symlink_to(outside)
    checksum_link.symlink_to(outside)
    (target / "other").symlink_to(target)
    orphan = target / "wiki-2024-04-01T031500.tar.gz.md5"
    orphan.write_bytes(b"0" * 32 + b"  wiki-2024-04-01T031500.tar.gz\n")
    done = finished(command(sshd, target, "--keep-last", "1"))
    assert done.returncode == 0
    assert not (target / "wiki-2024-05-01T031500.tar.gz").exists()
    assert link.is_symlink()
    assert checksum_link.is_symlink()
    assert orphan.exists()
    assert outside.read_bytes() == whole_archive()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "no rule says what to keep"),
        (["--keep-daily", "0"], "no rule says what to keep"),
        (["--keep-daily", "seven"], "'seven' is not how many to keep"),
        (["--keep-within", "3w"], "is not a duration"),
        (["--keep-last", "1", "--timestamp-format", "%A"], "%A is not one of"),
        (["--keep-last", "1", "-q", "-v"], "contradict"),
    ],
)
def test_wrong_options_are_told_before_anything_is_touched(
    sshd: Sshd, target: Path, options: list[str], words: str
) -> None:
    done = finished(command(sshd, target, *options))
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(archives(target)) == 4


def test_a_rule_may_be_unlimited(sshd: Sshd, target: Path) -> None:
    assert finished(command(sshd, target, "--keep-last", "unlimited")).returncode == 0
    assert len(archives(target)) == 4


def test_a_file_that_may_not_be_removed_gives_exit_code_3(sshd: Sshd, target: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may remove anything")
    target.chmod(0o500)
    done = finished(command(sshd, target, "wiki", "--keep-last", "1"))
    target.chmod(0o700)
    assert done.returncode == 3
    assert "NOT REMOVED: wiki-2024-05-01T031500.tar.gz" in done.stderr
    assert len(archives(target)) == 4
