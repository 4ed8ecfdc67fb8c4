"""`async-backup init`, at a terminal and without one."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from async_backup.errors import SettingsError
from async_backup.profiles.example import Answers, configuration
from async_backup.profiles.reading import load
from tests.command import PROGRAM, environment
from tests.configurations import asked, written

if TYPE_CHECKING:
    from pathlib import Path


def answered(*answers: str, config: Path) -> tuple[int, str]:
    """The exit code and what was printed of an `init` at a terminal at which this is typed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "init", "--config", str(config)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    out, err = process.communicate(timeout=60)
    os.close(ours)
    return process.returncode, (out + err).decode()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_the_answers_become_a_profile_that_is_right(tmp_path: Path, source: Path) -> None:
    config, key = tmp_path / "deep" / "config.toml", written(tmp_path, "", "key")
    code, text = answered(str(source), "u@host:/b", "2222", str(key), "7", "4", "unlimited", "home", config=config)
    assert code == 0, text
    assert {name: value.value for name, value in load(config).resolved("home").items()} == {
        "sources": [str(source)],
        "to": ["u@host:/b"],
        "port": 2222,
        "key": str(key),
        "keep-daily": 7,
        "keep-weekly": 4,
        "keep-monthly": "unlimited",
    }
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert asked("config", "check", "--config", str(config)).exit_code == 0
    for command in ("doctor u@host:/b --port 2222", "run --profile home", "schedule install --profile home"):
        assert f"async-backup {command}" in text


def test_a_port_that_stands_in_the_destination_is_not_asked_for(tmp_path: Path, source: Path) -> None:
    config = tmp_path / "config.toml"
    code, text = answered(str(source), "sftp://u@host:2222/b", "", "", "", "", "", config=config)
    assert code == 0, text
    assert "Port" not in text
    assert asked("config", "check", "--config", str(config)).exit_code == 0


def test_what_cannot_be_is_asked_again(tmp_path: Path, source: Path) -> None:
    config = tmp_path / "config.toml"
    wrong_then_right = [
        *(str(tmp_path / "missing"), str(source)),
        *("nowhere", "host:b"),
        *("65536", "x", ""),
        *(str(tmp_path / "missing"), ""),
        *("many", "", "", ""),
        *("a b", ""),
    ]
    code, text = answered(*wrong_then_right, config=config)
    assert code == 0, text
    assert load(config).names() == ("nightly",)
    for complaint in ("is not a directory", "is not a destination", "'65536' is not a port", "there is no file"):
        assert complaint in text


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    config = written(tmp_path, "# mine\n")
    code, text = answered(config=config)
    assert (code, config.read_text()) == (2, "# mine\n")
    assert "exists already" in text


def test_an_end_of_the_answers_writes_nothing(tmp_path: Path, source: Path) -> None:
    code, text = answered(str(source), "host:b", "\x04", config=tmp_path / "config.toml")
    assert (code, sorted(os.listdir(tmp_path))) == (130, ["data"])
    assert "nothing was written" in text


def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    done = asked("init", "--config", str(tmp_path / "config.toml"))
    assert (done.exit_code, os.listdir(tmp_path)) == (2, [])
    assert "--print" in done.output


def test_the_printed_example_is_a_configuration(tmp_path: Path) -> None:
    file = written(tmp_path, asked("init", "--print").output)
    assert asked("config", "check", "--config", str(file)).exit_code == 0
    assert load(file).names() == ("nightly",)


@pytest.mark.parametrize("text", ['a"b', "a\\b", "é\n", "'{}'", "# [x]"])
def test_any_path_is_written_so_that_it_is_read_again(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, configuration(Answers(source=text, name="a.b")))
    assert load(file).resolved("a.b")["sources"].value == [text]


def test_a_path_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(SettingsError, match="not UTF-8"):
        configuration(Answers(source=os.fsdecode(b"\xff")))
