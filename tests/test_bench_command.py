"""`async-backup bench` as a user starts it: what it prints, what it refuses, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.command import PROGRAM, finished, login, started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sshd import Sshd


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "backups"
    directory.mkdir()
    (directory / "theirs").write_text("not ours")
    return directory


def bench_command(server: Sshd, target: Path, *more: str) -> list[str]:
    return [*PROGRAM, "bench", server.destination(target), *login(server), *more]


def test_it_names_the_bottleneck_and_prints_flags_that_run_takes(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    done = finished(bench_command(sshd, target, "--seconds", "6", "--sample", "many-small"))
    assert done.returncode == 0, done.stderr
    assert "round trip" in done.stdout
    assert "bottleneck: " in done.stdout
    assert "the server is as it was" in done.stdout
    (options,) = re.findall(r"^  (--workers .*)$", done.stdout, re.MULTILINE)
    (tmp_path / "source" / "entry").mkdir(parents=True)
    to_run = [*PROGRAM, "run", str(tmp_path / "source"), "--to", sshd.destination(target), *login(sshd)]
    assert finished([*to_run, *options.split(), "--dry-run"]).returncode == 0
    assert max(len(line) for line in done.stdout.splitlines() if str(target) not in line) <= 80
    assert os.listdir(target) == ["theirs"]


def test_json_is_an_object_for_each_measurement_and_one_at_the_end(sshd: Sshd, target: Path) -> None:
    done = finished(bench_command(sshd, target, "--seconds", "5", "--json"))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "bench_started"
    assert names[-1] == "bench_ended"
    assert {"round_trip", "upload", "reading", "compression", "hashing", "packing", "whole_job"} <= set(names)
    ended = events[-1]
    assert ended["exit_code"] == 0
    assert ended["advice"]["options"].startswith("--workers ")
    assert set(ended["advice"]["flags"]) == {"workers", "processes", "connections", "channels", "segment_size"}
    assert "measurements" not in ended


def test_a_sweep_prints_a_table_sorted_by_speed_and_draws_it(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    picture = tmp_path / "sweep.svg"
    command = bench_command(sshd, target, "--sweep", "--seconds", "9", "--workers", "1,4", "--plot", str(picture))
    done = finished(command)
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout[done.stdout.index("RATE") :].splitlines()
    assert head.split() == ["RATE", "WALL", "CPU", "WORKERS", "PROCESSES", "CONNECT.", "CHANNELS", "SEGMENT"]
    assert len([row for row in rows if "/s " in row]) >= 2
    assert "--segment-size" in done.stdout
    assert "</svg>" in picture.read_text()
    assert os.listdir(target) == ["theirs"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_leaves_the_destination_as_it_was(
    sshd: Sshd, target: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = started(bench_command(sshd, target, "--seconds", "60"))
    deadline = time.monotonic() + 30
    while not list(target.glob(".bench.*/upload")):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted after" in out
    assert "Traceback" not in err
    assert os.listdir(target) == ["theirs"]


@pytest.mark.parametrize(
    "hostile",
    [
        ("--sweep", "--workers", ""),
        ("--sweep", "--workers", "4,,8"),
        ("--sweep", "--workers", "0"),
        ("--sweep", "--workers", "-1"),
        ("--sweep", "--workers", "4;8"),
        ("--sweep", "--workers", "1e9"),
        ("--sweep", "--workers", "9" * 5000),
        ("--sweep", "--processes", "٣"),
        ("--sweep", "--channels", "1,2,9"),
        ("--sweep", "--segment-size", "1,2"),
        ("--sweep", "--segment-size", "4MiB,4 parsecs"),
        ("--sweep", "--workers", ",".join(map(str, range(1, 100)))),
        ("--workers", "4,8"),
        ("--seconds", "1"),
        ("--seconds", "nan"),
        ("--sample", "huge"),
        ("--source", "/", "--sample", "few-large"),
        ("--plot", "picture.gif"),
        ("--plot", "/nowhere/picture.svg"),
        ("--quiet", "--verbose"),
    ],
)
def test_settings_without_sense_are_refused_before_anything_is_measured(
    sshd: Sshd, target: Path, hostile: tuple[str, ...]
) -> None:
    done = finished(bench_command(sshd, target, *hostile))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert os.listdir(target) == ["theirs"]


def test_without_matplotlib_a_picture_is_refused_with_what_to_install(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from async_backup.cli import main; main()"
    program = bench_command(sshd, target, "--plot", str(tmp_path / "x.svg"))
    done = finished([program[0], "-c", code, *program[len(PROGRAM) :]])
    assert done.returncode == 2
    assert "pip install 'async-backup[plot]'" in done.stderr
    assert os.listdir(target) == ["theirs"]


def test_an_unknown_host_key_is_the_usual_error(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    command = [*PROGRAM, "bench", sshd.destination(target), "--key", str(sshd.key), "--ssh-config", os.devnull]
    done = finished([*command, "--known-hosts", str(tmp_path / "none")])
    assert done.returncode in {1, 2}
    assert "error: " in done.stderr
    assert os.listdir(target) == ["theirs"]
