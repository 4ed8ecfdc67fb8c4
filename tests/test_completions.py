"""The completions that are installed with the wheel, tried in the shells that are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from async_backup.cli import shipped

ROOT = Path(__file__).parent.parent
COMMANDS = {"run", "restore", "list", "ls", "find", "prune", "verify", "config", "schedule"}

IN_BASH = """
source "$1"
COMP_WORDS=(async-backup {words}) COMP_CWORD={last}
_async_backup_completion async-backup
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
IN_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1= ; fpath=($1 \\$fpath); autoload -U compinit; compinit -u -D"
zpty -w shell "print rea''dy"
zpty -r shell seen '*ready*'
zpty -w -n shell $'async-backup ru\\t'
zpty -w shell ' --help | head -c 300; print do""ne'
zpty -r shell seen '*done*'
print -r -- "$seen"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which async-backup is found, and no file of this machine's user is."""
    program = tmp_path / "bin" / "async-backup"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c \'import sys; sys.argv[0] = "async-backup"\n'
        'from async_backup.cli import main\nmain()\' "$@"\n'
    )
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb"}


def output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


def in_bash(words: str, environment: dict[str, str]) -> set[str]:
    script = IN_BASH.format(words=words, last=len(words.split()))
    return set(output(["bash", "-c", script, "-", str(ROOT / shipped.COMPLETIONS["bash"])], environment).split())


def in_fish(line: str, environment: dict[str, str]) -> set[str]:
    script = f"source {ROOT / shipped.COMPLETIONS['fish']}; complete --do-complete '{line}'"
    shown = output(["fish", "--no-config", "-c", script], environment)
    return {line.split("\t")[0] for line in shown.splitlines()}


@pytest.mark.parametrize("shell", shipped.COMPLETIONS)
def test_the_completions_are_up_to_date(shell: str) -> None:
    shipped_script = (ROOT / shipped.COMPLETIONS[shell]).read_text()
    assert shipped_script.split() == shipped.completion(shell).split(), "run: python -m async_backup.cli.shipped ."


def test_bash_completes_commands_and_options(environment: dict[str, str]) -> None:
    assert in_bash("re", environment) == {"restore"}
    assert in_bash("prune --keep-da", environment) == {"--keep-daily"}
    assert {"show", "check"} <= in_bash("config ''", environment)


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes_commands_and_options(environment: dict[str, str]) -> None:
    assert in_fish("async-backup re", environment) == {"restore"}
    assert in_fish("async-backup prune --keep-da", environment) == {"--keep-daily"}
    assert in_fish("async-backup ", environment) >= COMMANDS


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_completes_at_the_first_key_already(environment: dict[str, str]) -> None:
    functions = (ROOT / shipped.COMPLETIONS["zsh"]).parent
    assert "async-backup run [OPTIONS]" in output(["zsh", "-f", "-c", IN_ZSH, "-", str(functions)], environment)
