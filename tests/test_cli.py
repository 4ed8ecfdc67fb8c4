"""`async-backup run` from outside, against a real sshd: what it prints, what it leaves, how it exits."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from async_backup.archive.xattrs import ARE_SUPPORTED
from async_backup.archive_names import NameParser
from tests.command import PROGRAM, backup_command, finished, login
from tests.everything import set_xattr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sshd import Sshd


@pytest.fixture
def target(sshd: Sshd, tmp_path: Path) -> Path:
    """A directory on the server, that does not exist yet."""
    return tmp_path / "server" / "backups"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    (directory / "project" / "src").mkdir(parents=True)
    (directory / "project" / "src" / "main.c").write_text("int main;\n" * 1000)
    (directory / "project" / "main.o").write_bytes(b"\0" * 5000)
    (directory / "notes.txt").write_text("remember\n")
    return directory


def archives(directory: Path) -> list[str]:
    """What is there, by entry: the name without its time."""
    names = [path.name for path in directory.iterdir()]
    return sorted(re.sub(r"-\d{4}-\d\d-\d\dT\d{6}(?=\.tar\.gz)", "", name) for name in names)


def test_each_entry_becomes_a_verified_archive_with_its_checksum(sshd: Sshd, source: Path, target: Path) -> None:
    done = finished(backup_command(sshd, source, to=target))
    assert (done.returncode, done.stderr) == (0, "")
    assert archives(target) == ["notes.txt.tar.gz", "notes.txt.tar.gz.md5", "project.tar.gz", "project.tar.gz.md5"]
    checked = subprocess.run(
        ["md5sum", "-c", *target.glob("*.md5")], cwd=target, capture_output=True, text=True, check=False
    )
    assert checked.stdout.count(": OK") == 2


def test_it_prints_what_the_classic_script_printed(sshd: Sshd, source: Path, target: Path) -> None:
    done = finished(backup_command(sshd, source, to=target))
    name = next(target.glob("notes*.gz")).name
    digest = (target / f"{name}.md5").read_text().split()[0]
    assert f"hash values of {name} match\n  before upload: {digest}\n  after upload:  {digest}\n" in done.stdout
    destination = f"sftp://{sshd.user}@127.0.0.1:{sshd.port}{target}"
    assert f"upload completed: {source}/notes.txt --> {destination}/{name}" in done.stdout


def test_archives_may_be_read_by_their_owner_only(sshd: Sshd, source: Path, target: Path) -> None:
    finished(backup_command(sshd, source, to=target))
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o600}


def test_quiet_says_nothing_when_all_went_well(sshd: Sshd, source: Path, target: Path) -> None:
    done = finished(backup_command(sshd, source, "--quiet", to=target))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(archives(target)) == 4


def test_json_gives_one_outcome_for_each_entry(sshd: Sshd, source: Path, target: Path) -> None:
    done = finished(backup_command(sshd, source, "--json", to=target))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    ended = {event["entry"]["name"]: event for event in events if event["event"] == "entry_ended"}
    assert {name: event["outcome"] for name, event in ended.items()} == {
        "notes.txt": "committed",
        "project": "committed",
    }
    assert all(event["digest"] == event["stored"]["value"] for event in ended.values())
    assert events[-1]["event"] == "run_ended"
    assert events[-1]["exit_code"] == 0
    assert {event["entry"]["archive"] for event in ended.values()} == {path.name for path in target.glob("*.gz")}


def test_several_sources_get_a_directory_each(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("another\n")
    command = [*PROGRAM, "run", str(source), str(other), "--to", sshd.destination(target), *login(sshd)]
    assert finished(command).returncode == 0
    assert archives(target / "source")[0] == "notes.txt.tar.gz"
    assert archives(target / "other") == ["notes.txt.tar.gz", "notes.txt.tar.gz.md5"]


def test_sources_that_would_collide_are_refused(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "source"
    other.mkdir(parents=True)
    command = [*PROGRAM, "run", str(source), str(other), "--to", sshd.destination(target), *login(sshd)]
    done = finished(command)
    assert done.returncode == 2
    assert "both called source" in done.stderr
    assert not target.exists()


def test_the_number_of_processes_changes_no_byte(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    for number in range(300):
        (source / "entry" / f"d{number % 7}").mkdir(parents=True, exist_ok=True)
        (source / "entry" / f"d{number % 7}" / f"f{number}").write_bytes(os.urandom(number * 20))
    (source / "entry" / "large").write_bytes(os.urandom(700_000))
    made = []
    for processes in ("1", "3"):
        options = ["--processes", processes, "--segment-size", "64k", "--timestamp-format", f"%F-{processes}"]
        assert finished(backup_command(sshd, source, *options, to=target)).returncode == 0
        made.append(next(target.glob(f"entry-*-{processes}.tar.gz")).read_bytes())
    assert made[0] == made[1]


def test_patterns_leave_out_files_and_entries(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    patterns = tmp_path / "patterns"
    patterns.write_text("\ufeff*.o\r\n# comment\r\n", encoding="utf-8")
    excludes = ["--exclude", "notes.*", "--exclude-from", str(patterns)]
    assert finished(backup_command(sshd, source, *excludes, to=target)).returncode == 0
    assert archives(target) == ["project.tar.gz", "project.tar.gz.md5"]
    with tarfile.open(next(target.glob("*.gz"))) as tar:
        assert tar.getnames() == ["project", "project/src", "project/src/main.c"]


def test_the_classic_names_are_one_option_away(sshd: Sshd, source: Path, target: Path) -> None:
    classic = ["--timestamp-format", "%d-%m-%Y-%H:%M:%S", "--no-checksum-file"]
    assert finished(backup_command(sshd, source, *classic, to=target)).returncode == 0
    assert all(re.fullmatch(r".*-\d\d-\d\d-\d{4}-\d\d:\d\d:\d\d\.tar\.gz", path.name) for path in target.iterdir())


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_another_hash_verifies_and_names_the_checksum_file(
    sshd: Sshd, source: Path, target: Path, algorithm: str
) -> None:
    assert finished(backup_command(sshd, source, "--hash", algorithm, to=target)).returncode == 0
    files = sorted(target.glob(f"*.{algorithm}"))
    checked = subprocess.run([f"{algorithm}sum", "-c", *files], cwd=target, capture_output=True, text=True, check=False)
    assert checked.stdout.count(": OK") == 2


def test_read_back_verifies_without_any_command(sshd: Sshd, source: Path, target: Path) -> None:
    done = finished(backup_command(sshd, source, "--verify", "readback", to=target))
    assert done.returncode == 0
    assert "read back" in done.stdout
    assert len(archives(target)) == 4


def test_a_dry_run_connects_to_nobody(source: Path) -> None:
    command = [*PROGRAM, "run", str(source), "--to", "nobody@nowhere.invalid:/x", "--dry-run", "--exclude", "project/"]
    done = finished(command)
    assert done.returncode == 0
    assert f"would back up: {source}/notes.txt --> nobody@nowhere.invalid:/x/notes.txt-" in done.stdout
    assert f"would skip: {source}/project (excluded)" in done.stdout


def test_an_archive_that_exists_is_never_overwritten(sshd: Sshd, source: Path, target: Path) -> None:
    daily = ["--timestamp-format", "%F"]
    assert finished(backup_command(sshd, source, *daily, to=target)).returncode == 0
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    (source / "notes.txt").write_text("changed\n")
    done = finished(backup_command(sshd, source, *daily, to=target))
    assert done.returncode == 3
    assert "exists already; nothing is overwritten" in done.stderr
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


@pytest.fixture
def without_root_powers() -> Iterator[list[str]]:
    """A prefix that makes root obey permissions."""
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv on this machine")
        dropped = "-dac_override,-dac_read_search"
        yield ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
    else:
        yield []


def test_an_unreadable_file_is_named_and_costs_no_other_file(
    sshd: Sshd, source: Path, target: Path, without_root_powers: list[str]
) -> None:
    (source / "project" / "secret").write_text("x")
    (source / "project" / "secret").chmod(0)
    (source / "project" / "closed").mkdir(mode=0)
    done = finished([*without_root_powers, *backup_command(sshd, source, to=target)])
    (source / "project" / "closed").chmod(0o700)
    assert done.returncode == 3
    assert f"not readable, left out: {source}/project/secret: Permission denied" in done.stderr
    assert f"not readable, left out: {source}/project/closed: Permission denied" in done.stderr
    with tarfile.open(next(target.glob("project*.gz"))) as tar:
        assert tar.getnames() == ["project", "project/main.o", "project/closed", "project/src", "project/src/main.c"]


def test_an_archive_that_lacks_a_file_says_so_for_good(
    sshd: Sshd, source: Path, target: Path, without_root_powers: list[str], tmp_path: Path
) -> None:
    def later(command: str, *more: str) -> subprocess.CompletedProcess[str]:
        return finished([*PROGRAM, command, sshd.destination(target), *login(sshd), *more])

    (source / "project" / "secret").write_text("x")
    finished([*backup_command(sshd, source, "--timestamp-format", "%Y-%m-%dT000000", to=target)])
    (source / "project" / "secret").chmod(0)
    finished([*without_root_powers, *backup_command(sshd, source, "--only", "project", to=target)])
    lines = later("list", "project").stdout.splitlines()
    assert ["incomplete" in line for line in lines if line.startswith("  2")] == [False, True]
    assert "1 incomplete: something changed or could not be read when they were made" in lines[-1]
    back = later("restore", "project", "--to", str(tmp_path / "back"))
    assert "is incomplete: something changed or could not be read when it was made" in back.stderr
    assert back.returncode == 0
    gone = later("prune", "project", "--keep-last", "1", "--dry-run")
    assert "newest complete" in gone.stdout
    assert "would remove 0 of 2 archives" in gone.stdout


def test_an_entry_of_which_nothing_can_be_read_is_not_backed_up(
    sshd: Sshd, source: Path, target: Path, without_root_powers: list[str]
) -> None:
    (source / "closed").mkdir(mode=0)
    (source / "locked").write_text("x" * 5000)
    (source / "locked").chmod(0)
    done = finished([*without_root_powers, *backup_command(sshd, source, to=target)])
    (source / "closed").chmod(0o700)
    assert done.returncode == 3
    for name in ("closed", "locked"):
        assert f"NOT BACKED UP: {source}/{name}: cannot be read: Permission denied" in done.stderr
    assert not any(path.name.lstrip(".").startswith(("closed", "locked")) for path in target.iterdir())
    assert any(path.name.startswith("project") for path in target.iterdir())


@pytest.mark.skipif(not ARE_SUPPORTED, reason="no extended attributes on this system")
@pytest.mark.parametrize(("more", "stored"), [((), True), (("--no-xattrs",), False)])
def test_extended_attributes_are_stored_unless_they_are_not_wanted(
    sshd: Sshd, source: Path, target: Path, more: tuple[str, ...], stored: bool
) -> None:
    if not set_xattr(source / "project" / "main.o", "user.origin", b"here"):
        pytest.skip("no extended attributes on this file system")
    assert finished(backup_command(sshd, source, *more, to=target)).returncode == 0
    with tarfile.open(next(target.glob("project*.gz"))) as tar:
        kept = tar.getmember("project/main.o").pax_headers
    assert ("SCHILY.xattr.user.origin" in kept) is stored


@pytest.mark.parametrize(("choice", "code"), [("warn", 3), ("fail", 3), ("ignore", 0)])
def test_a_file_that_grows_all_the_time_is_what_the_user_says(
    sshd: Sshd, source: Path, target: Path, choice: str, code: int
) -> None:
    """Nobody has to write to it: a file of /proc is never empty, and its size is always said to be 0."""
    (source / "project" / "busy").touch()
    mounted = ["unshare", "-m", "sh", "-c", f'mount --bind /proc/uptime "{source}/project/busy" && exec "$@"', "sh"]
    if subprocess.run([*mounted, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this account cannot mount anything")
    done = finished([*mounted, *backup_command(sshd, source, "--changed", choice, "--retries", "1", to=target)])
    assert done.returncode == code
    assert ("busy: it grew while it was read" in done.stderr) is (choice != "ignore")
    assert len(list(target.glob("project*.gz"))) == (choice != "fail")


HOSTILE = [
    b"line\nbreak",
    b"-rf",
    b"'single' \"double\" $(touch x) `id` ;&|",
    b"caf\xe9 not utf-8",
    b"\x1b[31mred\x1b]0;title\x07",
    b"[red]markup[bold]",
    b"back\\slash",
    b" blank ",
    "übermäßig\u202etxt".encode(),
    b"n" * 200,
]


def test_hostile_names_are_backed_up_and_never_printed_raw(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    source = tmp_path / "hostile"
    source.mkdir()
    for name in HOSTILE:
        (source / os.fsdecode(name)).write_bytes(name)
    done = finished(backup_command(sshd, source, "--verbose", to=target))
    assert (done.returncode, done.stderr) == (0, "")
    printed = set(done.stdout.replace("\n", ""))
    assert all(character.isprintable() for character in printed)
    stored = {
        name[: -len("-2026-01-01T000000.tar.gz")]: name
        for name in os.listdir(os.fsencode(target))
        if name.endswith(b".gz")
    }
    assert stored.keys() == set(HOSTILE)
    checked = subprocess.run(["md5sum", "-c", *target.glob("*.md5")], cwd=target, capture_output=True, check=False)
    assert checked.returncode == 0


def test_two_thousand_small_entries_are_all_committed(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    source = tmp_path / "many"
    for number in range(2000):
        (source / f"entry-{number:04d}").mkdir(parents=True)
        (source / f"entry-{number:04d}" / "file").write_text(str(number))
    done = finished(backup_command(sshd, source, "--quiet", to=target))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(target.glob("entry-*.tar.gz"))) == 2000


def test_nothing_to_back_up_is_said_and_is_no_success(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = finished(backup_command(sshd, tmp_path / "empty", to=target))
    assert (done.returncode, done.stdout) == (1, "nothing was backed up\n")
    assert done.stderr == f"nothing to back up: no entries were found in {tmp_path}/empty; is it mounted?\n"
    assert list(target.iterdir()) == []


def test_quiet_tells_of_an_empty_source_and_backs_up_the_other(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    command = [*PROGRAM, "run", str(source), str(tmp_path / "empty"), "--to", sshd.destination(target), *login(sshd)]
    done = finished([*command, "--quiet"])
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"nothing to back up: no entries were found in {tmp_path}/empty; is it mounted?\n"
    assert len(archives(target / "source")) == 4


def test_a_source_with_everything_left_out_is_told_as_well(source: Path) -> None:
    command = [*PROGRAM, "run", str(source), "--to", "nobody@nowhere.invalid:/x", "--dry-run", "--exclude", "*"]
    done = finished(command)
    assert done.stderr == f"nothing to back up: all that is in {source} is left out (2 entries)\n"
    (event,) = [json.loads(line) for line in finished([*command, "--json"]).stdout.splitlines()][2:]
    assert (event["event"], event["path"], event["skipped"]) == ("source_empty", str(source), 2)


def test_a_dry_run_tells_of_what_would_not_be_backed_up(tmp_path: Path) -> None:
    (tmp_path / "source" / ("n" * 240)).mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    sources = [str(tmp_path / "source"), str(tmp_path / "empty")]
    done = finished([*PROGRAM, "run", *sources, "--to", "nobody@nowhere.invalid:/x", "--dry-run"])
    assert done.returncode == 3
    long, empty = done.stderr.splitlines()
    assert long.startswith("NOT BACKED UP would be ")
    assert long.endswith(" would have 265 bytes, and servers take 255")
    assert empty == f"nothing to back up: no entries were found in {tmp_path}/empty; is it mounted?"


def test_only_the_named_entries_are_backed_up(sshd: Sshd, source: Path, target: Path) -> None:
    done = finished(backup_command(sshd, source, "--only", "project", "--only", "project", to=target))
    assert (done.returncode, done.stderr) == (0, "")
    assert archives(target) == ["project.tar.gz", "project.tar.gz.md5"]


def test_a_named_entry_that_is_not_there_is_an_error_and_the_others_go_on(
    sshd: Sshd, source: Path, target: Path
) -> None:
    only = ["--only", "proj", "--only", "notes.txt"]
    done = finished(backup_command(sshd, source, *only, "--quiet", to=target))
    assert done.returncode == 3
    assert done.stderr == f"error: there is no entry called proj in {source}\n"
    assert archives(target) == ["notes.txt.tar.gz", "notes.txt.tar.gz.md5"]
    done = finished(backup_command(sshd, source, *only, "--dry-run", to=target))
    assert (done.returncode, done.stderr) == (3, f"error: there is no entry called proj in {source}\n")
    assert [line.split(" --> ")[0] for line in done.stdout.splitlines()] == [f"would back up: {source}/notes.txt"]


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_where_none_of_the_named_entries_is_there_nothing_is_done(
    sshd: Sshd, source: Path, target: Path, more: tuple[str, ...]
) -> None:
    done = finished(backup_command(sshd, source, "--only", "proj", "--only", "main.c", *more, to=target))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is no entry called proj or main.c in {source}" in done.stderr
    assert not target.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "project/", "project/src", "/"])
def test_what_cannot_be_the_name_of_an_entry_is_refused(source: Path, name: str) -> None:
    command = [*PROGRAM, "run", str(source), "--to", "nobody@nowhere.invalid:/x", "--dry-run", "--only", name]
    done = finished(command)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{name!r} is not the name of an entry" in done.stderr


def test_the_demo_shows_the_mismatch_and_restores() -> None:
    done = finished([*PROGRAM, "demo"])
    assert done.returncode == 0
    assert "do not match" in done.stdout
    assert "the remote file was removed" in done.stdout
    assert "all the same" in done.stdout


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert finished([*PROGRAM, "--version"]).stdout == f"async-backup {version('async-backup')}\n"


def test_every_option_has_help() -> None:
    help_text = finished([*PROGRAM, "run", "--help"]).stdout
    lines = [line for line in help_text.splitlines() if re.match(r"│ [* ]\s+--|│ --", line)]
    assert len(lines) >= 26
    assert all(re.search(r"[a-z.:] +.*[a-z]", line.split("  ", 2)[-1]) for line in lines)


def test_the_package_can_be_called_from_a_program(sshd: Sshd, source: Path, target: Path) -> None:
    program = f"""
import anyio, async_backup
from dataclasses import replace
from pathlib import Path
if __name__ == "__main__":
    settings = async_backup.Settings(
        (Path({str(source)!r}),),
        (async_backup.Destination.parse({sshd.destination(target)!r}),),
        async_backup.SshSettings((Path({str(sshd.key)!r}),), Path({str(sshd.known_hosts)!r}), Path("/dev/null")),
    )
    report = anyio.run(async_backup.backup, settings)
    print(report.exit_code, len(report.committed))
    again = anyio.run(async_backup.backup, replace(settings, timestamp_format="%F-second"))
    print(again.exit_code, len(again.committed))
"""
    done = finished([sys.executable, "-c", program])
    assert (done.stdout, done.stderr) == ("0 2\n0 2\n", "")
    assert len(archives(target)) == 8


@pytest.mark.parametrize("redirection", ["> /dev/full", ">&-", ">&- 2>&-", "<&-", "| true"])
def test_a_backup_goes_on_when_nobody_can_read_what_it_prints(
    sshd: Sshd, source: Path, target: Path, redirection: str
) -> None:
    command = shlex.join(backup_command(sshd, source, "--verbose", to=target))
    done = finished(["bash", "-c", f"set -o pipefail; {command} {redirection}"])
    assert (done.returncode, done.stderr) == (0, "")
    assert len(archives(target)) == 4


def test_the_help_says_what_a_timestamp_may_hold_and_all_of_that_can_be_read_back() -> None:
    help_text = re.sub(r"[│\s]+", " ", finished([*PROGRAM, "run", "--help"]).stdout)
    (allowed,) = re.findall(r"may use ((?:%\w ?)+), or %s alone", help_text)
    assert "Give the same to list, ls, restore, verify and prune" in help_text
    assert len(allowed.split()) > 9
    NameParser([f"%F-%H%M%S-{directive}" for directive in allowed.split()])  # which would refuse any other
    NameParser(["%s"])


@pytest.mark.parametrize(
    "command", ["list {} {}", "ls {} project {}", "find {} {} '*'", "config schema", "init --print"]
)
def test_what_was_asked_for_and_cannot_be_written_is_an_error(
    sshd: Sshd, source: Path, target: Path, command: str
) -> None:
    """But for a reader that has gone: it has all that it wanted."""
    finished(backup_command(sshd, source, to=target))
    asked = f"{shlex.join(PROGRAM)} {command.format(sshd.destination(target), shlex.join(login(sshd)))}"
    full = finished(["bash", "-c", f"{asked} > /dev/full"])
    assert (full.returncode, full.stdout) == (1, "")
    assert full.stderr == (
        "error: standard output cannot be written: No space left on device; what was printed is not all\n"
    )
    gone = finished(["bash", "-c", f"set -o pipefail; {asked} | true"])
    assert (gone.returncode, gone.stdout, gone.stderr) == (0, "", "")
    closed = finished(["bash", "-c", f"{asked} >&-"])
    assert (closed.returncode, closed.stderr) == (
        1,
        full.stderr.replace("No space left on device", "Bad file descriptor"),
    )
