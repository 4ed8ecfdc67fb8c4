"""Times, units of systemd and lines of a crontab, as texts."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.errors import SettingsError
from async_backup.scheduling.cron import Cron, blocks, next_time, with_block
from async_backup.scheduling.model import Job, ScheduleError, When
from async_backup.scheduling.quoting import cron_command, exec_line, quoted
from async_backup.scheduling.times import HOURLY, daily, on_calendar, one_of, weekly
from async_backup.scheduling.units import service_unit, timer_unit

JOB = Job(
    "nightly",
    (("/bin/true", "run", "--profile", "nightly"), ("/bin/true", "prune", "--profile", "nightly")),
    daily("02:30"),
    reads=(Path("/srv"),),
    writes=(Path("/root/.local/state/async-backup"),),
)
HARD_WORDS = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" %$\"'\\;&|`*?~#=@-"), min_size=1)


def lines(unit: str) -> list[str]:
    return [line for line in unit.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    ("when", "calendar", "fields"),
    [
        (daily("02:30"), "*-*-* 02:30:00", "30 2 * * *"),
        (daily("2:05"), "*-*-* 02:05:00", "5 2 * * *"),
        (daily("00:00"), "*-*-* 00:00:00", "0 0 * * *"),
        (weekly("sun", "03:00"), "Sun *-*-* 03:00:00", "0 3 * * 0"),
        (weekly("Saturday", "23:59"), "Sat *-*-* 23:59:00", "59 23 * * 6"),
        (HOURLY, "*-*-* *:00:00", "0 * * * *"),
        (on_calendar(" Mon..Fri 22:00 "), "Mon..Fri 22:00", None),
    ],
)
def test_a_time_is_the_same_for_systemd_and_for_cron(when: When, calendar: str, fields: str | None) -> None:
    assert when == (calendar, fields)


@pytest.mark.parametrize("time", ["25:00", "24:00", "12:60", "2:5", "noon", "", "02:30:00", "-1:00", "٠٢:٣٠", "2.30"])
def test_an_impossible_time_is_refused(time: str) -> None:
    with pytest.raises(SettingsError, match="is not a time of day; write hours and minutes from 00:00 to 23:59"):
        daily(time)


@pytest.mark.parametrize("day", ["", "s", "su", "sunny", "7", "dimanche", "sundayy"])
def test_an_unknown_day_is_refused_with_those_there_are(day: str) -> None:
    with pytest.raises(SettingsError, match="write sun, mon, tue, wed, thu, fri, sat"):
        weekly(day, "03:00")


@pytest.mark.parametrize("expression", ["", " ", "daily\nExecStart=/bin/sh", "a\0"])
def test_an_expression_that_is_not_one_line_is_refused(expression: str) -> None:
    with pytest.raises(SettingsError, match="is no calendar expression"):
        on_calendar(expression)


def test_exactly_one_time_is_wanted() -> None:
    with pytest.raises(SettingsError, match="say when"):
        one_of(hourly=False, at=None, week=None, calendar=None)
    with pytest.raises(SettingsError, match="not several"):
        one_of(hourly=True, at="02:30", week=None, calendar=None)
    assert one_of(hourly=True, at=None, week=None, calendar=None) == HOURLY


def test_a_service_runs_each_command_with_little_priority() -> None:
    unit = lines(service_unit(JOB, is_user=True))
    assert [line for line in unit if line.startswith("ExecStart")] == [
        "ExecStart=/bin/true run --profile nightly",
        "ExecStart=/bin/true prune --profile nightly",
    ]
    assert {"Type=oneshot", "KillMode=mixed", "Nice=10", "IOSchedulingClass=idle", "NoNewPrivileges=yes"} <= set(unit)
    assert not any("SuccessExitStatus" in line for line in unit)


def test_a_timer_makes_up_for_what_was_slept_through_and_spreads_only_when_asked() -> None:
    assert lines(timer_unit(JOB))[-6:] == [
        "[Timer]",
        "OnCalendar=*-*-* 02:30:00",
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    assert "RandomizedDelaySec=600s" in lines(timer_unit(replace(JOB, spread=600)))


def test_a_user_service_asks_for_nothing_that_brings_a_user_namespace() -> None:
    unit = lines(service_unit(JOB, is_user=True))
    assert not [line for line in unit if line.startswith(("Private", "Protect", "ReadWritePaths", "Capability"))]


def test_a_system_service_writes_to_its_state_alone() -> None:
    unit = lines(service_unit(JOB, is_user=False))
    assert {"ProtectSystem=strict", "ProtectHome=read-only", "PrivateTmp=yes", "PrivateDevices=yes"} <= set(unit)
    assert [line for line in unit if line.startswith("ReadWritePaths")] == [
        "ReadWritePaths=-/root/.local/state/async-backup"
    ]


@pytest.mark.parametrize("source", ["/", "/var", "/tmp/data", "/var/tmp"])
def test_a_source_among_temporary_files_is_not_hidden_and_there_is_still_room_for_ours(source: str) -> None:
    unit = lines(service_unit(replace(JOB, reads=(Path("/srv"), Path(source))), is_user=False))
    assert "PrivateTmp=yes" not in unit
    assert {"ReadWritePaths=-/tmp", "ReadWritePaths=-/var/tmp"} <= set(unit)


def test_modules_of_the_kernel_are_not_hidden_from_a_backup_of_usr() -> None:
    assert "ProtectKernelModules" not in service_unit(replace(JOB, reads=(Path("/usr"),)), is_user=False)


def test_hooks_may_write_and_call_what_they_need() -> None:
    unit = lines(service_unit(replace(JOB, has_hooks=True), is_user=False))
    assert "ProtectSystem=full" in unit
    assert not [line for line in unit if line.startswith(("SystemCallFilter", "Capability", "RestrictNamespaces"))]


@pytest.mark.parametrize("is_user", [True, False])
@pytest.mark.parametrize("has_hooks", [True, False])
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path, *, is_user: bool, has_hooks: bool) -> None:
    program = tmp_path / "pro gram 100% $HOME ü"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    writes = tmp_path / "with blank 50%"
    job = replace(
        JOB,
        commands=((str(program), "run", '"a" \\'), (str(program), ";")),
        spread=60,
        writes=(writes,),
        has_hooks=has_hooks,
        environment={"XDG_STATE_HOME": str(writes)},
    )
    files = [tmp_path / f"async-backup-nightly.{kind}" for kind in ("service", "timer")]
    for file, text in zip(files, (service_unit(job, is_user=is_user), timer_unit(job)), strict=True):
        file.write_text(text)
    assert verified(files, is_user=is_user) == (0, "")
    program.unlink()
    assert "is not executable" in verified(files, is_user=is_user)[1]


def verified(files: list[Path], *, is_user: bool) -> tuple[int, str]:
    """What systemd itself says about units; skipped where it is not installed."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    command = ["systemd-analyze", "--user" if is_user else "--system", "--man=no", "verify", *map(str, files)]
    environment = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(files[0].parent), "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stderr


@pytest.mark.parametrize("path", ["/a\nb", "/a\x1b[0m", "/\udce4", "/a\x7f"])
def test_a_path_that_cannot_stand_in_a_line_is_refused(path: str) -> None:
    command = ("/bin/true", path)
    with pytest.raises(SettingsError, match="cannot stand in a unit"):
        service_unit(replace(JOB, commands=(command,)), is_user=True)
    with pytest.raises(SettingsError, match="cannot stand in a crontab"):
        cron_command((command,))


@given(st.lists(HARD_WORDS, min_size=1, max_size=4))
def test_words_come_out_of_systemds_quotes_as_they_went_in(words: list[str]) -> None:
    try:
        line = exec_line(("/bin/true", *words))
    except SettingsError:
        assert not all(word.isprintable() for word in words)
        return
    expanded = [word.replace("%%", "%").replace("$$", "$") for word in split_by_systemd(line)]
    assert expanded == ["/bin/true", *words]
    assert "%" not in line.replace("%%", "")
    assert "$" not in line.replace("$$", "")


def split_by_systemd(line: str) -> list[str]:
    """By the rules of systemd.syntax(7), for words without its escapes of letters: those of a shell, in these cases."""
    splitter = shlex.shlex(line, posix=True)
    splitter.whitespace_split, splitter.commenters, splitter.escapedquotes, splitter.quotes = True, "", '"', '"'
    return list(splitter)


@pytest.mark.parametrize("character", ['"', "'", "\\"])
def test_a_program_that_systemd_would_not_start_is_refused(character: str) -> None:
    with pytest.raises(SettingsError, match="starts no program with quotes or backslashes"):
        exec_line((f"/opt/{character}/async-backup", "run"))


def test_only_what_needs_quotes_has_them() -> None:
    assert quoted("/usr/bin/a-b_c.d") == "/usr/bin/a-b_c.d"
    assert quoted("/a b") == '"/a b"'
    assert quoted("") == '""'


@given(st.lists(HARD_WORDS, min_size=1, max_size=4))
def test_words_come_out_of_a_crontab_and_a_shell_as_they_went_in(words: list[str]) -> None:
    try:
        line = cron_command((("/bin/true", *words),))
    except SettingsError:
        assert any("\\" in word or not word.isprintable() for word in words) or len("".join(words)) > 200
        return
    assert "%" not in line.replace("\\%", "")
    assert shlex.split(line.replace("\\%", "%")) == ["nice", "-n", "10", "/bin/true", *words]


def test_a_second_command_of_cron_runs_only_after_success() -> None:
    assert cron_command((("/a", "run"), ("/a", "prune"))) == "nice -n 10 /a run && nice -n 10 /a prune"


def test_what_cron_cannot_do_is_refused() -> None:
    with pytest.raises(SettingsError, match="use --daily, --hourly or --weekly"):
        Cron().parts(replace(JOB, when=on_calendar("Mon..Fri 22:00")))
    with pytest.raises(SettingsError, match="--randomized-delay needs systemd"):
        Cron().parts(replace(JOB, spread=60))
    with pytest.raises(SettingsError, match="longer than the 990 bytes"):
        Cron().parts(replace(JOB, commands=(("/bin/true", "x" * 1000),)))


@given(st.binary(), st.sampled_from([b"", b"# mine\n5 5 * * * true\n", b"A=b\n\n\xff\n"]))
def test_other_lines_of_a_crontab_come_back_byte_by_byte(noise: bytes, start: bytes) -> None:
    block = Cron().parts(JOB)[0].text.encode()
    before = start + noise.replace(b"async-backup", b"")
    with_ours = with_block(before, "nightly", block)
    assert with_ours.startswith(before)
    assert with_block(with_ours, "nightly", block) == with_ours
    assert with_block(with_ours, "nightly", b"") in {before, before + b"\n"}


def test_the_lines_of_another_profile_are_left_alone() -> None:
    weekly_block = Cron().parts(replace(JOB, profile="nightly-2", when=weekly("sun", "03:00")))[0].text.encode()
    nightly_block = Cron().parts(JOB)[0].text.encode()
    both = with_block(weekly_block, "nightly", nightly_block) + b"# end\n"
    assert set(blocks(both)) == {"nightly", "nightly-2"}
    assert with_block(both, "nightly", b"") == weekly_block + b"# end\n"
    assert with_block(both, "nightly-2", b"") == nightly_block + b"# end\n"


@pytest.mark.parametrize("damage", [b"# END async-backup nightly\n", b"# BEGIN async-backup nightly"])
def test_lines_whose_borders_were_changed_are_not_touched(damage: bytes) -> None:
    crontab = Cron().parts(JOB)[0].text.encode().replace(damage, b"# gone\n")
    with pytest.raises(ScheduleError, match="crontab -e"):
        with_block(crontab, "nightly", b"")


NOW = datetime(2026, 11, 25, 2, 30, 15)  # a Wednesday


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (daily("02:31"), datetime(2026, 11, 25, 2, 31)),
        (daily("02:30"), datetime(2026, 11, 26, 2, 30)),
        (HOURLY, datetime(2026, 11, 25, 3, 0)),
        (weekly("wed", "02:30"), datetime(2026, 12, 2, 2, 30)),
        (weekly("wed", "02:45"), datetime(2026, 11, 25, 2, 45)),
        (weekly("sun", "00:00"), datetime(2026, 11, 29, 0, 0)),
    ],
)
def test_the_next_time_of_a_crontab_line_is_told(when: When, expected: datetime) -> None:
    assert next_time(f"{when.fields} true", NOW) == expected


@pytest.mark.parametrize("line", ["*/5 * * * * true", "0 0 1 * * true", "0 0 * 2 * true"])
def test_the_next_time_of_a_line_that_was_edited_is_not_guessed(line: str) -> None:
    assert next_time(line, NOW) is None
