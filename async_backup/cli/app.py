"""The Typer application: commands and what is common to them."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from importlib import import_module
from inspect import getdoc
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from async_backup.cli.output import say_result
from async_backup.cli.profile_command import Configured, Connecting

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS: dict[str, type[Configured | Connecting] | None] = {
    "run": Configured,
    "restore": Connecting,
    "list": Connecting,
    "ls": Connecting,
    "find": Connecting,
    "prune": Configured,
    "verify": Configured,
    "doctor": Connecting,
    "bench": None,
    "init": None,
    "demo": None,
    "schedule": None,
    "config": None,
}
"""Each in a module of its own, by its own name, and how it takes settings from a profile."""


class Commands(TyperGroup):
    """Imports a command when somebody asks for it: what is not used would be a third of the start."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = _command(cmd_name)
        return super().get_command(ctx, cmd_name)


def _command(name: str) -> Any:
    with _no_garbage():
        module = import_module(f"async_backup.cli.{name}")
    found = getattr(module, name, None) or getattr(module, f"{name}_")
    one = typer.Typer()
    one.callback()(common)
    if isinstance(found, typer.Typer):
        one.add_typer(found, name=name)
    else:
        one.command(name, cls=COMMANDS[name], help=_flowing(getdoc(found) or ""))(found)
    return typer.main.get_group(one).commands[name]


def _flowing(text: str) -> str:
    """Each paragraph as one line, which the terminal breaks where it has to."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


@contextmanager
def _no_garbage() -> Iterator[None]:
    """All that is imported stays: looking through it for garbage, again and again, was a sixth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


app = typer.Typer(
    cls=Commands,
    name="async-backup",
    help="Back up many directories to any SSH server: plain .tar.gz archives, verified before they count.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  (nothing else needs it)

        say_result(f"async-backup {version('async-backup')}")
        raise typer.Exit


@app.callback()
def common(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Back up many directories to any SSH server: plain .tar.gz archives, verified before they count.

    Exit codes: 0 all committed; 1 nothing could be done; 2 wrong usage or settings; 3 some entries or files were
    not backed up; 4 another run of the same is under way; 130 interrupted.
    """
    del show_version
