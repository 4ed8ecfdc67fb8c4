"""Stopped, killed or run twice at once: what is left on the server is committed archives and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from async_backup.errors import ExitCode
from tests.command import backup_command, finished, started
from tests.processes import descendants, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sshd import Sshd

STOPPED_WITHIN = 5.0


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Some small entries and two that take a while."""
    directory = tmp_path / "source"
    for name in ("small-1", "small-2"):
        (directory / name).mkdir(parents=True)
        (directory / name / "file").write_text(name)
    for name in ("large-1", "large-2"):
        with (directory / name).open("wb") as file:
            for _ in range(16):
                file.write(os.urandom(1 << 20))
    return directory


@pytest.fixture
def target(sshd: Sshd, tmp_path: Path) -> Path:
    directory = tmp_path / "backups"
    directory.mkdir()
    return directory


def temporary(target: Path) -> list[str]:
    return sorted(path.name for path in target.glob(".*"))


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def slow_backup(sshd: Sshd, source: Path, target: Path) -> subprocess.Popen[str]:
    """A backup that has committed the small entries and is in the middle of both large ones."""
    process = started(backup_command(sshd, source, "--limit-rate", "4M", to=target))
    wait_until(lambda: len(list(target.glob("small-*.md5"))) == 2 and len(list(target.glob(".large*.part"))) == 2)
    return process


@contextmanager
def stopped_descendants(pid: int) -> Iterator[None]:
    """The processes below `pid` stand still for as long as the block lasts."""
    frozen = descendants(pid)
    for child in frozen:
        os.kill(child, signal.SIGSTOP)
    try:
        yield
    finally:
        for child in frozen:
            os.kill(child, signal.SIGCONT)


def all_verified(target: Path) -> bool:
    sums = sorted(target.glob("*.md5"))
    archives = sorted(path.name for path in target.glob("*.tar.gz"))
    checked = subprocess.run(["md5sum", "-c", "--quiet", *sums], cwd=target, capture_output=True, check=False)
    return checked.returncode == 0 and archives == [path.stem for path in sums]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_soon_and_says_what_was_not_committed(
    sshd: Sshd, source: Path, target: Path, number: signal.Signals
) -> None:
    process = slow_backup(sshd, source, target)
    children = descendants(process.pid)
    begin = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - begin < STOPPED_WITHIN
    assert process.returncode == 130
    assert "interrupted: 2 of 4 entries committed" in out
    assert f"not committed: {source}/large-1" in err
    assert f"not committed: {source}/large-2" in err
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    assert temporary(target) == []
    assert len(list(target.glob("small-*.tar.gz"))) == 2


def test_a_signal_ends_a_run_whose_server_does_not_answer(sshd: Sshd, source: Path, target: Path) -> None:
    process = slow_backup(sshd, source, target)
    with stopped_descendants(sshd.pid):
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        took = time.monotonic() - begin
    assert process.returncode == 130
    assert took < STOPPED_WITHIN + 1
    assert "stopping" in err


def test_a_second_signal_ends_it_at_once(sshd: Sshd, source: Path, target: Path) -> None:
    process = slow_backup(sshd, source, target)
    with stopped_descendants(sshd.pid):
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=2)
    assert process.returncode == 130


def test_a_second_signal_ends_a_hook_too_that_does_not_want_to(sshd: Sshd, source: Path, target: Path) -> None:
    noted, asked = target.parent / "hook", target.parent / "asked"
    config = target.parent / "config.toml"
    config.write_text(
        f"""[hooks]\nbefore = "trap 'echo > {asked}' TERM; echo $$ > '{noted}'; while :; do sleep 600; done"\n"""
    )
    process = started(backup_command(sshd, source, "--config", str(config), to=target))
    wait_until(lambda: noted.exists() and noted.read_text().endswith("\n"))
    hook = int(noted.read_text())
    family = [hook, *descendants(hook)]
    process.send_signal(signal.SIGINT)
    wait_until(asked.exists)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 130
    wait_until(lambda: {state(pid) for pid in family} == {"Z"})


def test_the_next_run_removes_what_a_killed_one_left_and_only_that(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    process = slow_backup(sshd, source, target)
    children = descendants(process.pid)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    left = temporary(target)
    assert len(left) == 2
    assert list(scratch.iterdir()) == []
    strangers = [".hidden.part", ".a.tar.gz.part", ".x.00000000-00000000-1-1-00000000.part"]
    for name in strangers:
        (target / name).touch()
    done = finished(backup_command(sshd, source, "--exclude", "large-*", to=target))
    assert done.returncode == 0
    assert done.stdout.count("removed what a dead run left") == 2
    assert temporary(target) == sorted(strangers)


def test_two_runs_at_once_leave_each_other_alone(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    first = slow_backup(sshd, source, target)
    mine = temporary(target)
    elsewhere = f"XDG_STATE_HOME={tmp_path}"  # another account, which does not see the lock
    second = finished(["env", elsewhere, *backup_command(sshd, source, "--timestamp-format", "%F-second", to=target)])
    assert second.returncode == 0
    assert "removed" not in second.stdout
    assert set(mine) <= set(temporary(target))
    _, err = first.communicate(timeout=60)
    assert (first.returncode, err) == (0, "")
    assert temporary(target) == []
    assert all_verified(target)
    assert len(list(target.glob("*.tar.gz"))) == 8


def test_a_second_run_of_the_same_does_nothing_and_says_who_is_at_it(sshd: Sshd, source: Path, target: Path) -> None:
    first = slow_backup(sshd, source, target)
    second = finished(backup_command(sshd, source, to=target))
    assert (second.returncode, second.stdout) == (ExitCode.LOCKED, "")
    assert str(first.pid) in second.stderr
    first.communicate(timeout=60)
    assert first.returncode == 0


def test_two_runs_that_want_the_same_names_overwrite_nothing(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    same = ["--timestamp-format", "%F", "--exclude", "large-2"]
    runs = [
        started(["env", f"XDG_STATE_HOME={tmp_path / account}", *backup_command(sshd, source, *same, to=target)])
        for account in ("one", "other")
    ]
    codes = sorted(run.wait(timeout=60) for run in runs)
    for run in runs:
        run.communicate()
    assert codes[1] == 3
    assert temporary(target) == []
    assert all_verified(target)
    assert len(list(target.glob("*.tar.gz"))) == 3


def test_killed_at_any_moment_only_verified_archives_have_final_names(sshd: Sshd, tmp_path: Path, target: Path) -> None:
    source = tmp_path / "entries"
    for number in range(60):
        (source / f"e{number:02d}").mkdir(parents=True)
        (source / f"e{number:02d}" / "data").write_bytes(os.urandom(200_000))
    for turn in range(6):
        process = started(backup_command(sshd, source, "--timestamp-format", f"%F-{turn}", to=target))
        wait_until(lambda turn=turn: len(list(target.glob(f"*-{turn}.tar.gz"))) > 5 * turn)  # type: ignore[misc]
        process.kill()
        process.communicate()
        for archive in target.glob("*.tar.gz"):
            assert subprocess.run(["gzip", "-t", archive], check=False).returncode == 0
    done = finished(backup_command(sshd, source, "--timestamp-format", "%F-last", to=target))
    assert done.returncode == 0
    assert temporary(target) == []


def test_a_hangup_of_the_whole_terminal_ends_it_without_noise(sshd: Sshd, source: Path, target: Path) -> None:
    command = backup_command(sshd, source, "--limit-rate", "4M", to=target)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: len(list(target.glob(".large*.part"))) == 2)
    os.killpg(process.pid, signal.SIGHUP)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert temporary(target) == []


def test_it_goes_on_when_all_packing_processes_and_their_parent_are_killed_again_and_again(
    sshd: Sshd, source: Path, target: Path
) -> None:
    process = started(backup_command(sshd, source, "--limit-rate", "8M", "--retries", "9", to=target))
    wait_until(lambda: list(target.glob(".large*.part")))
    for _ in range(4):
        for child in descendants(process.pid):
            if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    out, err = process.communicate(timeout=90)
    assert process.returncode in {0, 3}, err
    assert f"of {len(list(source.iterdir()))} entries committed" in out
    assert temporary(target) == []
    assert all_verified(target)
