"""What becomes of what an examination has learnt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from async_backup.cli.options.profile import CONFIGURATION, config_option
from async_backup.cli.profile import configure


def _configure(ctx: typer.Context, param: typer.CallbackParam, value: Path | None) -> Any:
    """Options get their defaults from the file, or none where it is still to be written."""
    is_there = value is None or value.expanduser().exists()
    configure(ctx, param, value if is_there else Path(os.devnull))
    return value


Config = Annotated[
    Path | None,
    config_option(
        "Configuration file; with --write-profile it is made if it is missing.",
        rich_help_panel=CONFIGURATION,
        is_eager=True,
        callback=_configure,
    ),
]
WriteProfile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Write what was learnt into the configuration file, as a new profile.",
        rich_help_panel=CONFIGURATION,
        show_default=False,
    ),
]
