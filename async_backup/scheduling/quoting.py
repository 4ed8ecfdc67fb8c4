"""Words as a unit of systemd and as a crontab have to write them."""

from __future__ import annotations

import shlex

from async_backup.errors import SettingsError

_LONGEST_LINE = 990
"""Bytes of a command that every cron takes: that of Debian stops at 1000."""


def literal(text: str) -> str:
    """A value of a setting, with no specifiers in it; raises SettingsError for what a unit file cannot hold."""
    _refuse_unprintable(text, "a unit of systemd")
    return text.replace("%", "%%")


def quoted(word: str) -> str:
    """One word of a setting that takes several; raises SettingsError for what a unit file cannot hold."""
    escaped = literal(word).replace("\\", "\\\\").replace('"', '\\"')
    is_plain = bool(word) and all(character.isalnum() or character in "/_.,:=+@%-" for character in word)
    return escaped if is_plain else f'"{escaped}"'


def exec_line(command: tuple[str, ...]) -> str:
    """The value of an `ExecStart=`, whose arguments, unlike the path of the program, systemd looks for variables.

    Raises SettingsError for what systemd would not take.
    """
    program, *arguments = command
    if set(program) & set("\"'\\"):
        raise SettingsError(f"systemd starts no program with quotes or backslashes in its path: {program}")
    return " ".join([quoted(program), *(quoted(argument.replace("$", "$$")) for argument in arguments)])


def cron_command(commands: tuple[tuple[str, ...], ...]) -> str:
    """Commands in a line of a crontab, each run if the one before succeeded.

    Raises SettingsError for what cron would change on the way to the shell: crons differ in what they make of a
    backslash, and all of them cut long lines.
    """
    for word in (word for command in commands for word in command):
        _refuse_unprintable(word, "a crontab")
        if "\\" in word:
            raise SettingsError(f"{word!r} holds a backslash, so it cannot stand in a crontab")
    line = " && ".join(shlex.join(("nice", "-n", "10", *command)) for command in commands).replace("%", "\\%")
    if len(line.encode()) > _LONGEST_LINE:
        raise SettingsError(f"the line for the crontab would be longer than the {_LONGEST_LINE} bytes that cron takes")
    return line


def _refuse_unprintable(text: str, where: str) -> None:
    if not all(character.isprintable() for character in text):  # a byte that is not UTF-8 is not printable either
        raise SettingsError(f"{text!r} is not UTF-8 or holds control characters, so it cannot stand in {where}")
