"""What becomes of what an examination has learnt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from async_backup.cli.profile import configure

_CONFIGURATION = "Configuration"


def _configure(ctx: typer.Context, param: typer.CallbackParam, value: Path | None) -> Any:
    """Options get their defaults from the file, or none where it is still to be written."""
    is_there = value is None or value.expanduser().exists()
    configure(ctx, param, value if is_there else Path(os.devnull))
    return value


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration file; with --write-profile it is made if it is missing.",
        rich_help_panel=_CONFIGURATION,
        show_default="~/.config/async-backup/config.toml, then /etc/async-backup/config.toml",
        envvar="ASYNC_BACKUP_CONFIG",
        show_envvar=False,
        is_eager=True,
        callback=_configure,
    ),
]
WriteProfile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Write what was learnt into the configuration file, as a new profile.",
        rich_help_panel=_CONFIGURATION,
        show_default=False,
    ),
]
