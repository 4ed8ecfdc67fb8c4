"""`async-backup init`: a first configuration file."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from async_backup.cli.connecting import destination_of
from async_backup.cli.execute import fail
from async_backup.cli.options import profile as from_profile  # noqa: TC001 - Typer evaluates the annotations of commands
from async_backup.cli.output import complain, say, say_result
from async_backup.cli.profile import user_file
from async_backup.errors import ExitCode, SettingsError
from async_backup.profiles.example import Answers, configuration
from async_backup.profiles.model import check_name
from async_backup.profiles.writing import write_file
from async_backup.retention import keep_count
from async_backup.text import one_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable

_PORTS = range(1, 65536)


def init(
    config: from_profile.ConfigFile = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print an example; ask and write nothing.")] = False,
) -> None:
    """Ask a few questions and write a configuration file with a first profile. Nothing is overwritten."""
    if only_print:
        say_result(configuration(Answers()).rstrip("\n"))
        return
    file = (config or user_file()).expanduser()
    try:
        _check_can_ask(file)
        answers = _asked()
        write_file(file, configuration(answers))
    except SettingsError as error:
        fail(error, as_json=False)
    except typer.Abort as end:
        complain("\nnothing was written")
        raise typer.Exit(ExitCode.INTERRUPTED) from end
    _say_what_next(file, answers, is_usual=config is None)


def _check_can_ask(file: Path) -> None:
    if os.path.lexists(file):
        raise SettingsError(f"{file} exists already and is not overwritten; edit it, or name another with --config")
    if sys.stdin is None or not sys.stdin.isatty():
        raise SettingsError(
            f"init asks questions and there is no terminal; `mkdir -p {shlex.quote(str(file.parent))} && "
            f"async-backup init --print > {shlex.quote(str(file))}` writes an example to edit"
        )


def _asked() -> Answers:
    source = _ask("Directory whose entries to back up", _source)
    to = _ask("Destination (user@host:/dir, or host:dir with an alias of ~/.ssh/config)", _destination)
    has_port = destination_of(to, None).port is not None
    port = None if has_port else _ask("Port (leave empty for ssh's own)", _port, default="")
    key = _ask("Private key (leave empty for ssh-agent, ~/.ssh/config and ~/.ssh/id_*)", _key, default="")
    daily, weekly, monthly = (
        _ask(f"How many {word} archives of each entry `prune` keeps", _count, default=default)
        for word, default in (("daily", "7"), ("weekly", "5"), ("monthly", "12"))
    )
    name = _ask("Name of this profile", _name, default="nightly")
    return Answers(name, source, to, port, key, daily, weekly, monthly)


def _ask(question: str, parse: Callable[[str], Any], default: str | None = None) -> Any:
    """The first answer that can be used."""
    while True:
        text = str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()
        try:
            return parse(text)
        except SettingsError as error:
            complain(f"{one_line(error)}")


def _source(text: str) -> str:
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        raise SettingsError(f"{path} is not a directory")
    return str(path)


def _destination(text: str) -> str:
    destination_of(text, None)
    return text


def _port(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) not in _PORTS:
        raise SettingsError(f"{text!r} is not a port; write a number from 1 to 65535")
    return int(text)


def _key(text: str) -> str | None:
    if text and not Path(text).expanduser().is_file():
        raise SettingsError(f"there is no file {text}")
    return str(Path(text).expanduser().absolute()) if text else None


def _count(text: str) -> int | str:
    keep_count(text)
    return int(text) if text.isdigit() else text


def _name(text: str) -> str:
    check_name(text)
    return text


def _say_what_next(file: Path, answers: Answers, *, is_usual: bool) -> None:
    where = "" if is_usual else f" --config {shlex.quote(str(file))}"
    profile = f"--profile {answers.name}{where}"
    connect = f" --port {answers.port}" if answers.port else ""
    connect += f" --key {shlex.quote(answers.key)}" if answers.key else ""
    say(f"written: {shown(file)}")
    say("next:")
    say(shown(f"  async-backup doctor {shlex.quote(answers.to)}{connect}"))
    say(shown(f"  async-backup run {profile}"))
    say(shown(f"  async-backup schedule install {profile} --daily 02:30"))
