"""Where and how files come back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from async_backup.unpack.rules import Overwrite

_RESTORING = "Restoring"

Target = Annotated[
    Path,
    typer.Option("--to", metavar="DIR", help="Directory to restore into; made if missing.", show_default=False),
]
Everything = Annotated[
    bool,
    typer.Option("--all", help="The newest archive of every entry, or of each that is named."),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="With --all: the newest not after 2026-11-20.", show_default=False),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="List what would come, by the index, and write nothing. What rules refuse or keep is listed too.",
        rich_help_panel=_RESTORING,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Only what matches a gitignore pattern, by its path inside the entry, and what is below directories that "
        "match: '*.jpg', '/docs/**/*.pdf', raw/; may be given several times.",
        rich_help_panel=_RESTORING,
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Nothing that matches a gitignore pattern, by its path inside the entry; may be given several times.",
        rich_help_panel=_RESTORING,
        show_default=False,
    ),
]
OverwriteMode = Annotated[
    Overwrite,
    typer.Option(help="What happens to files that are there already.", rich_help_panel=_RESTORING),
]
Salvage = Annotated[
    bool,
    typer.Option("--salvage", help="Go on after damage: only the files in it are lost.", rich_help_panel=_RESTORING),
]
SamePermissions = Annotated[
    bool,
    typer.Option(
        "--same-permissions",
        "-p",
        help="Keep set-user-ID and set-group-ID bits, and file capabilities.",
        rich_help_panel=_RESTORING,
    ),
]
OutsideLinks = Annotated[
    bool,
    typer.Option(
        "--outside-links", help="Keep symbolic links that lead out of the directory.", rich_help_panel=_RESTORING
    ),
]
Devices = Annotated[bool, typer.Option("--devices", help="Restore devices and FIFOs too.", rich_help_panel=_RESTORING)]
NumericOwner = Annotated[
    bool,
    typer.Option(
        "--numeric-owner",
        help="Give files to the numbers in the archive, not to the users and groups of those names here.",
        rich_help_panel=_RESTORING,
    ),
]
NoXattrsBack = Annotated[
    bool,
    typer.Option("--no-xattrs", help="Restore no extended attributes and no ACLs.", rich_help_panel=_RESTORING),
]
