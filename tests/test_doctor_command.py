"""`async-backup doctor` as a user sees it: a checklist, an exit code, a profile."""

from __future__ import annotations

import json
import signal
import tomllib
from typing import TYPE_CHECKING

import pytest

from async_backup.doctor.model import DoctorEnded, DoctorReport, Finding, State, Step, StepStarted
from async_backup.errors import ExitCode
from async_backup.ui.doctor import DoctorPrinter
from async_backup.ui.lines import NORMAL, QUIET
from tests.command import PROGRAM, finished, login, started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sshd import Sshd

OK = Finding(Step.SFTP, State.OK, "version 3", "It works.")
FAILED = Finding(Step.HOST_KEY, State.FAILED, "unknown", "Nobody vouches.", "Compare, then add it with:\nssh-keyscan x")
LONG = Finding(Step.SHELL, State.WARNING, "word " * 40, "meaning " * 40, "advice " * 40)


def printed(*findings: Finding, verbosity: int = NORMAL, width: int = 80) -> tuple[list[str], list[str]]:
    out, err = list[str](), list[str]()
    printer = DoctorPrinter(out.append, err.append, verbosity, width=width)
    for finding in findings:
        printer(StepStarted(finding.step))
        printer(finding)
    printer(DoctorEnded(DoctorReport(findings, seconds=1.5)))
    return out, err


def test_each_finding_is_a_line_with_what_it_means_and_what_to_do_below() -> None:
    out, err = printed(OK, FAILED)
    assert [line.split(maxsplit=1) for line in out] == [
        ["ok", "SFTP                version 3"],
        ["It", "works."],
        ["failed", "host key            unknown"],
        ["Nobody", "vouches."],
        ["->", "Compare, then add it with:"],
        ["ssh-keyscan", "x"],
        [],
        ["No", "backup is possible there; failed: host key (1 ok, 1.5 s)."],
    ]
    assert err == []


@pytest.mark.parametrize("width", [80, 140])
def test_lines_fit_the_terminal_but_commands_stay_whole(width: int) -> None:
    command = "ssh-keyscan " + "x" * 150
    out, _ = printed(LONG, Finding(Step.TCP, State.FAILED, "f", "m", f"Do:\n{command}"), width=width)
    too_long = [line for line in out if len(line) > width]
    assert [line.strip() for line in too_long] == [command]


def test_quiet_prints_trouble_alone_and_to_standard_error() -> None:
    assert printed(OK, verbosity=QUIET) == ([], [])
    out, err = printed(OK, FAILED, verbosity=QUIET)
    assert out == []
    assert "unknown" in err[0]
    assert not any("version 3" in line for line in err)


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    out, _ = printed(Finding(Step.SHELL, State.OK, "\x1b[31mred \x9b \u202e", "\x07", "a\x1b\nb\x1b[2J"))
    assert all(line.isprintable() for line in out)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([OK], ExitCode.COMPLETE),
        ([OK, LONG], ExitCode.COMPLETE),
        ([OK, Finding(Step.RATE, State.SKIPPED, "")], ExitCode.COMPLETE),
        ([OK, Finding(Step.RATE, State.FAILED, "")], ExitCode.INCOMPLETE),
        ([FAILED, Finding(Step.RATE, State.FAILED, "")], ExitCode.NOTHING_DONE),
    ],
)
def test_the_exit_code_tells_what_stands_in_the_way(findings: list[Finding], code: ExitCode) -> None:
    assert DoctorReport(tuple(findings)).exit_code is code


def command(server: Sshd, directory: Path, *more: str) -> list[str]:
    return [*PROGRAM, "doctor", server.destination(directory), *login(server), *more]


def test_a_checklist_for_people(sshd: Sshd) -> None:
    done = finished(command(sshd, sshd.directory / "people"))
    assert done.returncode == ExitCode.COMPLETE, done.stdout + done.stderr
    assert done.stderr == ""
    heads = [line for line in done.stdout.splitlines() if line.startswith("ok ")]
    assert len(heads) == len(Step) - 1
    assert "Ready for backups" in done.stdout.splitlines()[-1]
    assert "\x1b" not in done.stdout
    assert not (sshd.directory / "people").exists()


def test_lines_for_programs(sshd: Sshd) -> None:
    done = finished(command(sshd, sshd.directory / "programs", "--json", "--connections", "1"))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["finding"] * (len(Step) - 1) + ["doctor_ended"]
    assert set(events[0]) == {"event", "time", "step", "state", "found", "meaning", "advice"}
    assert events[-1]["exit_code"] == 0
    assert events[-1]["learnt"]["connections"] == 1


def test_quiet_about_a_server_that_is_ready(sshd: Sshd) -> None:
    done = finished(command(sshd, sshd.directory, "-q"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_written_profile_runs(sshd: Sshd, tmp_path: Path) -> None:
    config, source = tmp_path / "new.toml", tmp_path / "src"
    (source / "entry").mkdir(parents=True)
    done = finished(command(sshd, sshd.directory / "p", "--config", str(config), "--write-profile", "nightly"))
    assert done.returncode == 0, done.stderr
    profile = tomllib.loads(config.read_text())["profile"]["nightly"]
    assert profile["to"] == [sshd.destination(sshd.directory / "p")]
    assert {"connections": 4, "channels": 2, "verify": "auto"}.items() <= profile.items()
    again = finished([*PROGRAM, "run", str(source), "--config", str(config), "--profile", "nightly"])
    assert again.returncode == 0, again.stderr
    assert len(list((sshd.directory / "p").glob("entry-*.tar.gz"))) == 1
    assert finished([*PROGRAM, "doctor", "--config", str(config), "--profile", "nightly", "-q"]).returncode == 0


def test_a_profile_that_cannot_be_written_is_told_before_anything_is_done(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[profile.taken]\nworkers = 3\n")
    done = finished(command(sshd, sshd.directory, "--config", str(config), "--write-profile", "taken"))
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "has a profile taken already" in done.stderr
    assert config.read_text() == "[profile.taken]\nworkers = 3\n"


def test_no_profile_comes_of_a_destination_that_takes_no_backup(sshd: Sshd, tmp_path: Path) -> None:
    (sshd.directory / "file").touch()
    config = tmp_path / "c.toml"
    done = finished(command(sshd, sshd.directory / "file", "--config", str(config), "--write-profile", "x"))
    assert done.returncode == ExitCode.NOTHING_DONE
    assert "No backup is possible there; failed: write rights" in done.stdout
    assert not config.exists()


@pytest.mark.parametrize(
    "more",
    [
        ["--hash", "crc32"],
        ["--connections", "0"],
        ["--config", "/nonexistent/c.toml"],
        ["--write-profile", "no good"],
        ["--key", "/nonexistent/key"],
    ],
)
def test_wrong_usage_is_told_in_one_sentence(sshd: Sshd, more: list[str]) -> None:
    done = finished(command(sshd, sshd.directory, *more))
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_nothing_is_left(sshd: Sshd, number: signal.Signals) -> None:
    process = started(command(sshd, sshd.directory / "signal" / "deep", "--json"))
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("step") == Step.OVERWRITING:
            assert (sshd.directory / "signal" / "deep").exists()
            process.send_signal(number)
            break
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED, errors
    assert json.loads(rest.splitlines()[-1])["is_interrupted"]
    assert not (sshd.directory / "signal").exists()
