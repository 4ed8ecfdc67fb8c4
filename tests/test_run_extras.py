"""`run` with what goes along: profiles, hooks, a page, metrics, the lock, sizes for the next run."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from async_backup.errors import ExitCode
from tests.command import PROGRAM, finished, login

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sshd import Sshd


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    for name in ("one", "two"):
        (directory / name).mkdir(parents=True)
        (directory / name / "file").write_text(name * 1000)
    return directory


@pytest.fixture
def config(sshd: Sshd, source: Path, tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(
        f"""
[defaults]
key = ["{sshd.key}"]
known-hosts = "{sshd.known_hosts}"
ssh-config = "/dev/null"

[profile.nightly]
sources = ["{source}"]
to = ["{sshd.destination(tmp_path / "a")}", "{sshd.destination(tmp_path / "b")}"]
report = "{tmp_path / "page.html"}"
metrics = "{tmp_path / "run.prom"}"
keep-last = 1

[profile.nightly.hooks]
after = "cat > '{tmp_path}/after.json'"

[profile.refused]
extends = "nightly"

[profile.refused.hooks]
before = "exit 7"
"""
    )
    return file


def by_profile(command: str, name: str, config: Path, *more: str) -> list[str]:
    return [*PROGRAM, command, "--profile", name, "--config", str(config), *more]


def test_a_profile_says_it_all(config: Path, tmp_path: Path) -> None:
    done = finished(by_profile("run", "nightly", config, "-q"), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list((tmp_path / "a").glob("*.tar.gz"))) == len(list((tmp_path / "b").glob("*.tar.gz"))) == 2
    assert json.loads((tmp_path / "after.json").read_text())["committed"] == 4
    assert "<h1" in (tmp_path / "page.html").read_text()
    assert "async_backup_last_success_timestamp_seconds" in (tmp_path / "run.prom").read_text()


def test_verify_and_prune_take_the_destinations_of_the_profile(config: Path, tmp_path: Path) -> None:
    for stamp in ("%F-1", "%F-2"):
        finished(by_profile("run", "nightly", config, "-q", "--timestamp-format", stamp), tmp_path)
    formats = ["--timestamp-format", "%F-1", "--timestamp-format", "%F-2"]
    assert finished(by_profile("verify", "nightly", config, *formats), tmp_path).returncode == 0
    done = finished(by_profile("prune", "nightly", config), tmp_path)
    assert done.returncode == 0


def test_a_failing_hook_before_stops_the_run(config: Path, tmp_path: Path) -> None:
    done = finished(by_profile("run", "refused", config), tmp_path)
    assert done.returncode == ExitCode.NOTHING_DONE
    assert "7" in done.stderr
    assert not (tmp_path / "a").exists()


def test_an_impossible_file_is_told_before_anything_is_sent(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    to = ["--to", sshd.destination(tmp_path / "a")]
    command = [*PROGRAM, "run", str(source), *to, *login(sshd), "--report", str(tmp_path / "no" / "page.html")]
    done = finished(command, tmp_path)
    assert done.returncode == ExitCode.USAGE
    assert str(tmp_path / "no") in done.stderr
    assert not (tmp_path / "a").exists()


def test_a_run_leaves_its_sizes_for_the_next_one(config: Path, tmp_path: Path) -> None:
    finished(by_profile("run", "nightly", config, "-q"), tmp_path)
    state = tmp_path / ".local" / "state" / "async-backup"
    kept = list(state.rglob("*.json"))
    assert len(kept) == 1
    assert {"one", "two"} <= set(re.findall(r"one|two", kept[0].read_text()))


def test_the_page_of_a_run_without_a_server_says_why(config: Path, tmp_path: Path) -> None:
    done = finished(by_profile("run", "nightly", config, "--to", f"sftp://127.0.0.1:1{tmp_path}"), tmp_path)
    assert done.returncode == ExitCode.NOTHING_DONE
    assert "127.0.0.1" in (tmp_path / "page.html").read_text()
