"""`async-backup schedule`, with systemctl and crontab as programs that record what they are asked for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from async_backup.scheduling.model import Job, ScheduleError
from async_backup.scheduling.systemd import Systemd
from async_backup.scheduling.times import daily
from tests.command import PROGRAM, environment

SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$RECORD"
case "$*" in
*"$FAILS_AT"*) [ -z "$FAILS_AT" ] || { echo "Failed to connect to bus" >&2; exit 1; } ;;
esac
case "$*" in
*show*timer) printf '%s\\n' ActiveState=active "NextElapseUSecRealtime=$NEXT" "LastTriggerUSec=$LAST" ;;
*show*service) printf '%s\\n' ActiveState=failed Result=exit-code ExecMainStatus=3 ;;
esac
"""
CRONTAB = """#!/bin/sh
case "$1" in
-l) [ -z "$CRONTAB_BROKEN" ] || { echo "crontab: must be suid" >&2; exit 1; }
    [ -e "$CRONTAB_FILE" ] || { echo "no crontab for somebody" >&2; exit 1; }
    cat "$CRONTAB_FILE" ;;
-) cat > "$CRONTAB_FILE" ;;
esac
"""
CONFIG = """
[defaults]
to = "nas:/backup"
[profile.nightly]
sources = ["/srv"]
keep-daily = 7
[profile.plain]
sources = ["/srv"]
"""


class Machine(NamedTuple):
    """A home directory, programs on PATH, and what they were asked for."""

    home: Path

    @property
    def units(self) -> Path:
        return self.home / ".config/systemd/user"

    @property
    def crontab(self) -> Path:
        return self.home / "crontab"

    def asked(self) -> list[str]:
        record = self.home / "record"
        return record.read_text().splitlines() if record.exists() else []

    def schedule(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        given = {
            **{name: value for name, value in environment(self.home).items() if not name.startswith("XDG_")},
            "PATH": f"{self.home}/bin:/usr/bin:/bin",
            "RECORD": str(self.home / "record"),
            "CRONTAB_FILE": str(self.crontab),
            "NEXT": "Thu 2026-11-26 02:30:00 UTC",
            **variables,
        }
        command = [*PROGRAM, "schedule", *arguments]
        done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name, script in (("systemctl", SYSTEMCTL), ("crontab", CRONTAB)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(script)
        program.chmod(0o755)
    config = tmp_path / ".config/async-backup/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(CONFIG)
    return Machine(tmp_path)


USER = ("--systemd", "--user")
NIGHTLY = ("install", "--profile", "nightly", "--daily", "02:30")


def test_a_timer_is_written_enabled_and_reported(machine: Machine) -> None:
    done = machine.schedule(*NIGHTLY, *USER)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "nightly (systemd user timer async-backup-nightly.timer)",
            "  next run: Thu 2026-11-26 02:30:00 UTC",
            "  last run: none yet",
        ],
    )
    assert "loginctl enable-linger" in done.stderr
    assert machine.asked()[:3] == [
        "--user --no-ask-password daemon-reload",
        "--user --no-ask-password enable async-backup-nightly.timer",
        "--user --no-ask-password restart async-backup-nightly.timer",
    ]
    service = (machine.units / "async-backup-nightly.service").read_text()
    config = machine.home / ".config/async-backup/config.toml"
    starts = [line for line in service.splitlines() if line.startswith("ExecStart=")]
    assert len(starts) == 2
    assert starts[0].endswith(f" -m async_backup run --profile nightly --config {config}")
    assert starts[1].endswith(f" -m async_backup prune --profile nightly --config {config}")
    assert Path(starts[0].removeprefix("ExecStart=").split()[0]).is_absolute()
    assert "OnCalendar=*-*-* 02:30:00" in (machine.units / "async-backup-nightly.timer").read_text()
    assert (machine.home / ".local/state/async-backup").is_dir()


def test_a_profile_without_rules_of_what_to_keep_is_not_pruned(machine: Machine) -> None:
    machine.schedule("install", "--profile", "plain", "--hourly", *USER)
    assert (machine.units / "async-backup-plain.service").read_text().count("ExecStart=") == 1


def test_a_new_time_replaces_the_old_one(machine: Machine) -> None:
    machine.schedule(*NIGHTLY, *USER)
    machine.schedule("install", "--profile", "nightly", "--weekly", "sun", "03:00", *USER)
    timer = (machine.units / "async-backup-nightly.timer").read_text()
    assert "OnCalendar=Sun *-*-* 03:00:00" in timer
    assert "02:30" not in timer
    assert len(list(machine.units.iterdir())) == 2


def test_printing_writes_and_asks_nothing(machine: Machine) -> None:
    done = machine.schedule(*NIGHTLY, *USER, "--print")
    assert done.returncode == 0
    assert "[Service]" in done.stdout
    assert "OnCalendar=*-*-* 02:30:00" in done.stdout
    assert machine.asked() == []
    assert not machine.units.exists()
    assert not (machine.home / ".local").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--profile", "nightly", "--daily", "25:00"), "'25:00' is not a time of day"),
        (("--profile", "nightly", "--weekly", "someday", "03:00"), "'someday' is not a day of the week"),
        (("--profile", "nightly", "--daily", "02:30", "--hourly"), "not several"),
        (("--profile", "nightly"), "say when it shall run"),
        (("--profile", "nigthly", "--daily", "02:30"), "there is no profile 'nigthly'"),
        (("--profile", "nightly", "--daily", "02:30", "--config", "/nowhere.toml"), "no configuration file"),
        (("--profile", "nightly", "--daily", "02:30", "--randomized-delay", "soon"), "'soon' is not a length of time"),
    ],
)
@pytest.mark.parametrize("place", [USER, ("--cron",)])
def test_what_cannot_be_is_one_sentence_before_anything_is_written(
    machine: Machine, arguments: tuple[str, ...], words: str, place: tuple[str, ...]
) -> None:
    done = machine.schedule("install", *arguments, *place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert machine.asked() == []
    assert not machine.units.exists()
    assert not machine.crontab.exists()


def test_a_calendar_expression_that_systemd_does_not_know_is_refused(machine: Machine) -> None:
    if not Path("/usr/bin/systemd-analyze").exists():
        pytest.skip("no systemd-analyze on this machine")
    done = machine.schedule("install", "--profile", "nightly", "--on-calendar", "Someday 22:00", *USER)
    assert done.returncode == 2
    assert "systemd does not understand the calendar expression 'Someday 22:00'" in done.stderr
    assert machine.schedule("install", "--profile", "nightly", "--on-calendar", "Mon..Fri 22:00", *USER).returncode == 0


@pytest.mark.parametrize("step", ["daemon-reload", "enable", "restart"])
def test_where_systemd_refuses_nothing_is_left(machine: Machine, step: str) -> None:
    done = machine.schedule(*NIGHTLY, *USER, FAILS_AT=step)
    assert done.returncode == 1
    assert "failed with exit code 1: Failed to connect to bus" in done.stderr
    assert list(machine.units.iterdir()) == []


def test_where_systemd_refuses_a_change_the_earlier_schedule_stays(machine: Machine) -> None:
    machine.schedule(*NIGHTLY, *USER)
    before = {path.name: path.read_bytes() for path in machine.units.iterdir()}
    done = machine.schedule("install", "--profile", "nightly", "--hourly", *USER, FAILS_AT="restart")
    assert done.returncode == 1
    assert {path.name: path.read_bytes() for path in machine.units.iterdir()} == before


def test_units_of_somebody_else_are_neither_replaced_nor_shown_nor_removed(machine: Machine) -> None:
    machine.units.mkdir(parents=True)
    theirs = machine.units / "async-backup-nightly.timer"
    theirs.write_text("[Timer]\n")
    assert machine.schedule(*NIGHTLY, *USER).returncode == 1
    assert machine.schedule("status", *USER).stdout == "nothing is scheduled\n"
    assert machine.schedule("remove", "--profile", "nightly", *USER).returncode == 2
    assert [path.name for path in machine.units.iterdir()] == [theirs.name]
    assert theirs.read_text() == "[Timer]\n"


def test_status_says_when_it_ran_and_how_that_ended(machine: Machine) -> None:
    machine.schedule(*NIGHTLY, *USER)
    machine.schedule("install", "--profile", "plain", "--hourly", *USER)
    done = machine.schedule("status", "--profile", "nightly", *USER, LAST="Wed 2026-11-25 02:30:04 UTC")
    assert done.stdout.splitlines()[1:] == [
        "  next run: Thu 2026-11-26 02:30:00 UTC",
        "  last run: Wed 2026-11-25 02:30:04 UTC: failed with exit code 3: some entries or files were not backed up",
    ]
    assert machine.schedule("status", *USER).stdout.count("next run") == 2
    assert machine.schedule("status", "--profile", "other", *USER).returncode == 2


def test_removal_stops_the_timer_and_leaves_no_file(machine: Machine) -> None:
    machine.schedule(*NIGHTLY, *USER)
    done = machine.schedule("remove", "--profile", "nightly", *USER)
    assert (done.returncode, done.stdout) == (0, "nightly: no longer scheduled\n")
    assert "--user --no-ask-password disable --now async-backup-nightly.timer" in machine.asked()
    assert machine.asked()[-1].endswith("daemon-reload")
    assert list(machine.units.iterdir()) == []
    assert machine.schedule("remove", "--profile", "nightly", *USER).returncode == 2


def test_a_system_timer_is_the_machines(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{machine.home}/bin:/usr/bin:/bin")
    monkeypatch.setenv("RECORD", str(machine.home / "record"))
    Systemd(tmp_path / "system", is_user=False).install(Job("nightly", (("/bin/true",),), daily("02:30")))
    assert machine.asked()[0] == "--system --no-ask-password daemon-reload"
    assert "ProtectSystem=strict" in (tmp_path / "system/async-backup-nightly.service").read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ScheduleError, match="cannot be written: Permission denied"):
        Systemd(tmp_path / "system", is_user=False).install(Job("nightly", (("/bin/true",),), daily("02:30")))


def test_cron_gets_a_line_and_keeps_all_others(machine: Machine) -> None:
    mine = b"MAILTO=me\n5 5 * * * echo \xff 100\\%\n"
    machine.crontab.write_bytes(mine)
    done = machine.schedule(*NIGHTLY, "--cron")
    assert done.returncode == 0
    assert "nightly (crontab: 30 2 * * *)" in done.stdout
    assert "next run: " in done.stdout
    ours = machine.crontab.read_bytes().removeprefix(mine).decode().splitlines()
    assert ours[0].startswith("# BEGIN async-backup nightly ")
    assert ours[1].startswith("30 2 * * * nice -n 10 /")
    assert " -q && nice " in ours[1]
    assert ours[1].endswith(" -q")
    assert ours[2:] == ["# END async-backup nightly"]
    assert "nightly" in machine.schedule("status", "--cron").stdout
    assert machine.schedule("remove", "--profile", "nightly", "--cron").returncode == 0
    assert machine.crontab.read_bytes() == mine
    assert machine.schedule("remove", "--profile", "nightly", "--cron").returncode == 2


def test_the_first_line_of_a_crontab(machine: Machine) -> None:
    assert machine.schedule(*NIGHTLY, "--cron").returncode == 0
    assert machine.crontab.read_text().startswith("# BEGIN async-backup nightly ")


def test_a_crontab_that_cannot_be_read_is_not_replaced(machine: Machine) -> None:
    machine.crontab.write_text("5 5 * * * true\n")
    done = machine.schedule(*NIGHTLY, "--cron", CRONTAB_BROKEN="1")
    assert done.returncode == 1
    assert "`crontab -l` failed with exit code 1: crontab: must be suid" in done.stderr
    assert machine.crontab.read_text() == "5 5 * * * true\n"


def test_cron_is_taken_where_systemd_does_not_run(machine: Machine) -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd runs this machine")
    machine.schedule(*NIGHTLY)
    assert machine.crontab.exists()
    assert machine.asked() == []


def test_who_names_a_place_of_systemd_gets_no_crontab(machine: Machine) -> None:
    for place in ("--user", "--system"):
        done = machine.schedule(*NIGHTLY, place, "--print")
        assert done.returncode == 0
        assert "OnCalendar=" in done.stdout
    assert not machine.crontab.exists()


def test_a_profile_that_could_not_run_by_itself_is_not_scheduled(machine: Machine) -> None:
    config = machine.home / "half.toml"
    config.write_text('[profile.half]\nto = "host:/b"\n')
    done = machine.schedule("install", "--profile", "half", "--config", str(config), "--daily", "02:30", "--cron")
    assert done.returncode == 2
    assert "the profile half in" in done.stderr
    assert "has no sources" in done.stderr
    assert not machine.crontab.exists()


def test_a_machine_with_neither_is_told_so(machine: Machine) -> None:
    done = machine.schedule(*NIGHTLY, "--cron", PATH="/nowhere")
    assert done.returncode == 1
    assert "there is neither systemd nor a crontab program on this machine" in done.stderr
