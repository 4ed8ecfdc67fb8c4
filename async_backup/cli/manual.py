"""The manual page, in roff, made from the commands and their options."""

from __future__ import annotations

import inspect
import typing
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import typer

from async_backup.cli.roff import bold, escaped, example, italic, item, paragraphs, section, subsection, title
from async_backup.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "async-backup"

EXIT_STATUS: Final = {
    ExitCode.COMPLETE: "Every entry was committed whole; all is there, as recorded, done.",
    ExitCode.NOTHING_DONE: "Nothing could be done: no connection, no source, no directory on the server.",
    ExitCode.USAGE: "Wrong usage or settings.",
    ExitCode.INCOMPLETE: "Some entries or files were not backed up, restored or removed, or are damaged or could not "
    "be verified. Each is named.",
    ExitCode.LOCKED: "Another run of the same is under way.",
    ExitCode.INTERRUPTED: "Stopped by a signal.",
}

_FILES: Final = {
    "~/.config/async-backup/config.toml": "Configuration of the user; --config and ASYNC_BACKUP_CONFIG name another.",
    "/etc/async-backup/config.toml": "Configuration of the machine, where the user has none.",
    "~/.ssh/config, ~/.ssh/known_hosts": "Hosts and trusted host keys, as for ssh.",
}

_EXAMPLES: Final = {
    "Back up every entry of /srv, each as an archive of its own:": ("async-backup run /srv --to user@host:/backups",),
    "Back up one directory:": ("async-backup run / --only etc --to user@host:/backups",),
    "See what is there, and restore the newest archive of wiki, or some of an older one:": (
        "async-backup list user@host:/backups",
        "async-backup restore user@host:/backups wiki --to /tmp/back",
        "async-backup restore user@host:/backups wiki@2026-11-20 docs img/logo.svg --to /tmp/back",
    ),
    "Verify all archives, and remove old ones:": (
        "async-backup verify user@host:/backups",
        "async-backup prune user@host:/backups --keep-daily 7 --keep-weekly 4",
    ),
    "Every night, by a profile of the configuration file:": (
        "async-backup init",
        "async-backup schedule install --profile nightly --daily 02:30",
    ),
}


def manual(app: typer.Typer) -> str:
    """The page of an application, the same on every machine; it names neither date nor version."""
    root = typer.main.get_command(app)
    commands = list(commands_of(root))
    lines = [
        r".\" Made by python -m async_backup.cli.shipped",
        *title(NAME, 1, "User Commands"),
        *section("NAME", rf"{escaped(NAME)} \- {escaped(_summary(root).rstrip('.'))}"),
        *section("SYNOPSIS", f"{bold(NAME)} {italic('COMMAND')} [{italic('OPTION')}]... [{italic('ARGUMENT')}]..."),
        *section("DESCRIPTION", *paragraphs(root.help or "")),
        *section("OPTIONS", *_options(root), *item(f"{bold('-h')}, {bold('--help')}", "Of each command: its help.")),
        *section("COMMANDS", *(line for name, command in commands for line in _command(name, command))),
        *section("EXIT STATUS", *(line for code, text in EXIT_STATUS.items() for line in item(bold(str(code)), text))),
        *section("ENVIRONMENT", *_environment(commands)),
        *section("FILES", *(line for path, text in _FILES.items() for line in item(italic(path), text))),
        *section("EXAMPLES", *(line for text, typed in _EXAMPLES.items() for line in example(text, *typed))),
        *section("SEE ALSO", ", ".join(f"{bold(name)}(1)" for name in ("ssh", "sftp", "tar", "systemctl"))),
    ]
    return "\n".join(lines) + "\n"


def commands_of(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All commands that do something, by what is typed, in the order of the help."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _summary(command: Any) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _command(name: str, command: Any) -> list[str]:
    arguments = " ".join(_argument(param) for param in command.params if param.param_type_name == "argument")
    usage = f"{bold(f'{NAME} {name}')} [{italic('OPTION')}]... {arguments}".rstrip()
    return subsection(name, usage, *paragraphs(command.help or ""), *_arguments(command), *_options(command))


def _argument(param: Any) -> str:
    name = (param.metavar or param.name.upper()).strip("[].")
    shown = italic(name) + ("..." if param.nargs == -1 else "")
    return shown if param.required else f"[{shown}]"


def _arguments(command: Any) -> Iterator[str]:
    for param in command.params:
        if param.param_type_name == "argument" and param.help:
            yield from item(_argument(param), param.help + _default(param))


def _options(command: Any) -> Iterator[str]:
    """Those that the callback declares: Typer's own differ from version to version."""
    hints = typing.get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    for param in command.params:
        if param.param_type_name == "option" and not param.hidden and param.name in hints:
            yield from item(_term(param, hints[param.name]), (param.help or "") + _default(param))


def _term(param: Any, hint: Any) -> str:
    names = ", ".join(map(bold, sorted((*param.opts, *param.secondary_opts), key=len)))
    return names if param.is_flag else f"{names} {italic(param.metavar or _value(hint))}"


def _value(hint: Any) -> str:
    """What stands for a value, by its type."""
    annotation = typing.get_args(hint)[0]
    kinds = [annotation, *typing.get_args(annotation)]
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            return "|".join(str(member.value) for member in kind)
    return "N" if any(kind in {int, float} for kind in kinds) else "TEXT"


def _default(param: Any) -> str:
    """Never one that was computed on this machine: such options say in words what holds."""
    shown = param.show_default
    value = param.default.value if isinstance(param.default, Enum) else param.default
    if isinstance(shown, str):
        return f" Default: {shown}."
    if not shown or value is None or isinstance(value, bool) or callable(value):
        return ""
    return f" Default: {value}."


def _environment(commands: list[tuple[str, Any]]) -> Iterator[str]:
    yield from paragraphs(
        "Variables stand for options; options on the command line come first, the configuration file comes after."
    )
    for variable, (option, names) in sorted(_variables(commands).items()):
        yield from item(bold(variable), f"{option} of {', '.join(names)}.")
    yield from item(bold("TMPDIR"), "Where what does not fit into memory waits.")


def _variables(commands: list[tuple[str, Any]]) -> dict[str, tuple[str, list[str]]]:
    """The option that each variable stands for, and the commands that have it."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, command in commands:
        for param in command.params:
            if isinstance(param.envvar, str):
                is_option = param.param_type_name == "option"
                shown = max(param.opts, key=len) if is_option else param.metavar or param.name.upper()
                found.setdefault(param.envvar, (shown, []))[1].append(name)
    return found
