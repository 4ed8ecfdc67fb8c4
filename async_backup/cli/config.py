"""`async-backup config`: what the configuration file says, whether it is right, and what it may hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

import typer

from async_backup.cli.config_check import trouble, warnings
from async_backup.cli.effective import effective, fields_of, line_of
from async_backup.cli.execute import fail
from async_backup.cli.options import output  # noqa: TC001 - Typer evaluates the annotations of commands
from async_backup.cli.options import profile as from_profile  # noqa: TC001 - Typer evaluates the annotations of commands
from async_backup.cli.output import complain, say, say_result
from async_backup.cli.profile import open_profiles, usual_files
from async_backup.cli.profile_keys import keys_of
from async_backup.errors import ExitCode, SettingsError
from async_backup.profiles.schema import schema as schema_of
from async_backup.text import counted, shown
from async_backup.ui.json_lines import json_line

if TYPE_CHECKING:
    from pathlib import Path

    from async_backup.profiles.model import Profiles

config = typer.Typer(no_args_is_help=True, help="Show and check the configuration file.")


@config.command()
def show(
    ctx: from_profile.Context,
    profile: from_profile.AnyProfile = None,
    config: from_profile.ConfigFile = None,
    as_json: output.JsonLines = False,
) -> None:
    """Print every setting as it would be, and where it comes from.

    Options on a command's line stand before all of them, then come the environment, the profile, those that it
    extends, the defaults, and what is built in.
    """
    try:
        for setting in list(effective(ctx, open_profiles(config, profile), profile)):
            say_result(json_line(fields_of(setting)) if as_json else line_of(setting))
    except SettingsError as error:
        fail(error, as_json=as_json)


@config.command()
def check(ctx: from_profile.Context, config: from_profile.ConfigFile = None) -> None:
    """Check every setting of every profile, without connecting."""
    profiles = _opened(config)
    found = trouble(ctx, profiles)
    for problem in found:
        complain(f"error: {shown(problem)}")
    for warning in warnings(profiles):
        complain(f"warning: {shown(warning)}")
    if found:
        raise typer.Exit(ExitCode.USAGE)
    say(f"{shown(profiles.file)}: {counted(len(profiles.names()), 'profile')}, no errors")


@config.command()
def path(config: from_profile.ConfigFile = None) -> None:
    """Print which configuration file is used."""
    say_result(str(_opened(config).file))


@config.command()
def schema(ctx: from_profile.Context) -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    say_result(json.dumps(schema_of(keys_of(ctx).values()), indent=2))


def _opened(config: Path | None) -> Profiles:
    try:
        profiles = open_profiles(config, None)
    except SettingsError as error:
        fail(error, as_json=False)
    return profiles or _fail_without_file()


def _fail_without_file() -> NoReturn:
    looked = " nor ".join(map(str, usual_files()))
    error = f"there is no configuration file: neither {looked} exists; `async-backup init` writes one"
    fail(SettingsError(error), as_json=False)
