"""What is backed up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_SELECTION = "Selection"

Sources = Annotated[
    list[Path],
    typer.Argument(
        readable=False, metavar="SOURCE", help="Directories; each entry of one becomes an archive.", show_default=False
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Leave out what matches a gitignore pattern; may be given several times. Patterns match entries and also "
        "the paths inside them, so '/*' would empty every entry: to back up some entries alone use --only.",
        rich_help_panel=_SELECTION,
        show_default=False,
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Back up this entry of the SOURCEs alone, by its exact name; may be given several times.",
        rich_help_panel=_SELECTION,
        show_default="all entries",
    ),
]
ExcludeFrom = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="File of patterns, one a line.", rich_help_panel=_SELECTION, show_default=False),
]
ExcludeCaches = Annotated[
    bool,
    typer.Option(
        "--exclude-caches", help="Leave out what is in directories with a CACHEDIR.TAG.", rich_help_panel=_SELECTION
    ),
]
OneFileSystem = Annotated[
    bool,
    typer.Option("--one-file-system", help="Do not descend into other file systems.", rich_help_panel=_SELECTION),
]
