"""The manual page: whole, up to date, the same everywhere, and plain text in it stays plain."""

from __future__ import annotations

import os
import re
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from async_backup.cli import shipped
from async_backup.cli.app import app
from async_backup.cli.manual import EXIT_STATUS, commands_of, manual
from async_backup.cli.roff import escaped, example, item, paragraphs
from async_backup.errors import ExitCode

ROOT = Path(__file__).parent.parent
PAGE = ROOT / shipped.MANUAL

needs_man = pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
needs_groff = pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")


def formatted(page: str) -> str:
    """What a reader sees, at a width at which nothing is broken in two."""
    command = ["groff", "-man", "-Tutf8", "-P-c", "-P-b", "-P-u", "-rLL=2000n"]
    return subprocess.run(command, input=page, capture_output=True, text=True, check=True).stdout


def test_the_manual_is_up_to_date() -> None:
    assert PAGE.read_text() == manual(app), "run: python -m async_backup.cli.shipped ."


def test_the_commands_in_the_readme_are_up_to_date() -> None:
    readme = (ROOT / shipped.README).read_text()
    assert readme == shipped.with_commands(readme, shipped.commands(app)), "run: python -m async_backup.cli.shipped ."


def test_a_document_without_a_place_for_the_commands_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        shipped.with_commands("# Another document\n", "run")


def test_nothing_of_this_machine_gets_into_the_manual(tmp_path: Path) -> None:
    strange = {
        **os.environ,
        "HOME": str(tmp_path),
        "COLUMNS": "40",
        "FORCE_COLOR": "1",
        "LC_ALL": "C",
        "ASYNC_BACKUP_WORKERS": "77",
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
    }
    program = (
        "import os; os.cpu_count = lambda: 97; os.sched_getaffinity = lambda pid: set(range(97))\n"
        "from async_backup.cli.app import app; from async_backup.cli.manual import manual; print(manual(app), end='')"
    )
    made = subprocess.run([sys.executable, "-c", program], env=strange, capture_output=True, text=True, check=True)
    assert made.stdout == manual(app)


def test_every_option_of_every_command_is_in_the_manual() -> None:
    for name, command in commands_of(typer.main.get_command(app)):
        part = manual(app).split(f'.SS "{escaped(name)}"\n')[1].split("\n.S")[0]
        for option in (
            option for param in command.params if param.param_type_name == "option" for option in param.opts
        ):
            assert rf"\fB{escaped(option)}\fR" in part, f"{option} of {name}"


def test_every_exit_code_and_every_variable_is_in_the_manual() -> None:
    assert set(EXIT_STATUS) == set(ExitCode)
    assert {"ASYNC_BACKUP_WORKERS", "ASYNC_BACKUP_PROFILE", "ASYNC_BACKUP_KEEP_DAILY"} <= set(
        re.findall(r"^\\fB(ASYNC_BACKUP_\w+)", manual(app), re.MULTILINE)
    )


@needs_man
def test_man_shows_the_manual_without_a_warning() -> None:
    command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(PAGE)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "MANWIDTH": "80"})
    assert shown.stderr == ""


@needs_groff
def test_what_is_shown_can_be_pasted_into_a_shell() -> None:
    shown = formatted(PAGE.read_text())
    assert "async-backup prune user@host:/backups --keep-daily 7 --keep-weekly 4\n" in shown
    assert "'%d-%m-%Y-%H:%M:%S'" in shown
    assert "~/.ssh/known_hosts" in shown


@given(st.text())
def test_text_becomes_one_line_of_ascii_that_is_no_request(text: str) -> None:
    line = escaped(text)
    assert line.isascii()
    assert "\n" not in line
    assert not line.startswith((".", "'"))


@needs_groff
@pytest.mark.parametrize(
    "text", [".so /etc/passwd", "'br", r"C:\new\fBx", "--a-b 'c' `d` ^e ~f \"g\"", "größer €…", string.punctuation]
)
def test_text_is_shown_as_it_is(text: str) -> None:
    page = [".TH X 1", ".SH NAME", *paragraphs(text), *item("term", text), *example("so:", text)]
    assert formatted("\n".join(page) + "\n").count(text) == 3
