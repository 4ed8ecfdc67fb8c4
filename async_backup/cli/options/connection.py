"""Where the server is and how it is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_CONNECTION = "Connection"

To = Annotated[
    list[str],
    typer.Option(
        "--to",
        metavar="DEST",
        help="user@host:/dir, host:dir (below the home directory) or sftp://user@host:port/dir. "
        "The host may be an alias of ~/.ssh/config. May be given several times: all is packed once, and sent to each.",
        show_default=False,
    ),
]
Dest = Annotated[
    str,
    typer.Argument(
        metavar="DEST", help="user@host:/dir, host:dir or sftp://user@host:port/dir, as for run.", show_default=False
    ),
]
Port = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="Port of the server.", rich_help_panel=_CONNECTION, show_default="22 or ssh's"),
]
Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="Private key; may be given several times.",
        rich_help_panel=_CONNECTION,
        show_default="ssh-agent, ~/.ssh/config and ~/.ssh/id_*",
    ),
]
KnownHosts = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Trusted host keys.", rich_help_panel=_CONNECTION, show_default="~/.ssh/known_hosts"
    ),
]
SshConfig = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="SSH configuration.", rich_help_panel=_CONNECTION, show_default="~/.ssh/config"),
]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=1,
        help="How long a connection may give no answer before it is replaced (five times that with much under way).",
        rich_help_panel=_CONNECTION,
    ),
]
