"""Settings from a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from async_backup.cli.profile import completed_names, configure

Context = typer.Context
"""What a command gets that asks which profile it runs by."""

CONFIGURATION = "Configuration"


def profile_option(text: str, *, default: str | bool, **more: Any) -> Any:
    """`--profile`; `default` says what happens without it."""
    return typer.Option(
        "--profile",
        metavar="NAME",
        help=text,
        show_default=default,
        envvar="ASYNC_BACKUP_PROFILE",
        show_envvar=False,
        **more,
    )


def config_option(text: str, **more: Any) -> Any:
    """`--config`."""
    return typer.Option(
        "--config",
        metavar="FILE",
        help=text,
        show_default="~/.config/async-backup/config.toml, then /etc/async-backup/config.toml",
        envvar="ASYNC_BACKUP_CONFIG",
        show_envvar=False,
        **more,
    )


Profile = Annotated[
    str | None,
    profile_option(
        "Take settings from a profile of the configuration file. Options here stand before them, and unset a flag "
        "by its opposite: --no-exclude-caches, --xattrs.",
        default=False,
        rich_help_panel=CONFIGURATION,
        is_eager=True,
        callback=configure,
        autocompletion=completed_names,
    ),
]
Config = Annotated[
    Path | None,
    config_option(
        "Configuration file. Environment variables such as ASYNC_BACKUP_WORKERS stand before what is in it.",
        rich_help_panel=CONFIGURATION,
        is_eager=True,
        callback=configure,
    ),
]
AnyProfile = Annotated[str | None, profile_option("Profile of the configuration file.", default="the defaults alone")]
ConfigFile = Annotated[Path | None, config_option("Configuration file.")]
OptionalDest = Annotated[
    str | None,
    typer.Argument(
        metavar="DEST",
        help="user@host:/dir, host:dir or sftp://user@host:port/dir, as for run; may be left out with --profile.",
        show_default=False,
    ),
]
OptionalArchive = Annotated[
    str | None,
    typer.Argument(
        metavar="ARCHIVE",
        help="NAME.tar.gz, an entry (its newest archive) or ENTRY@2026-11-20 (the newest not after that).",
        show_default=False,
    ),
]
Places = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="DEST",
        help="Destination, instead of the argument; may be given several times: each in turn.",
        show_default="`to` of the profile",
    ),
]
