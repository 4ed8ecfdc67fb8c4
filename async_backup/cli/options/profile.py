"""Settings from a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from async_backup.cli.profile import completed_names, configure

Context = typer.Context
"""What a command gets that asks which profile it runs by."""

_CONFIGURATION = "Configuration"

Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Take settings from a profile of the configuration file. Options here stand before them, and unset a flag "
        "by its opposite: --no-exclude-caches, --xattrs.",
        rich_help_panel=_CONFIGURATION,
        show_default=False,
        envvar="ASYNC_BACKUP_PROFILE",
        show_envvar=False,
        is_eager=True,
        callback=configure,
        autocompletion=completed_names,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration file. Environment variables such as ASYNC_BACKUP_WORKERS stand before what is in it.",
        rich_help_panel=_CONFIGURATION,
        show_default="~/.config/async-backup/config.toml, then /etc/async-backup/config.toml",
        envvar="ASYNC_BACKUP_CONFIG",
        show_envvar=False,
        is_eager=True,
        callback=configure,
    ),
]
AnyProfile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Profile of the configuration file.",
        show_default="the defaults alone",
        envvar="ASYNC_BACKUP_PROFILE",
        show_envvar=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration file.",
        show_default="~/.config/async-backup/config.toml, then /etc/async-backup/config.toml",
        envvar="ASYNC_BACKUP_CONFIG",
        show_envvar=False,
    ),
]
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
