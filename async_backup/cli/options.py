"""Every option of the command line, declared once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from async_backup.config import HASHES, Limits, Verify

_CONNECTION, _TUNING, _SELECTION, _ARCHIVES, _OUTPUT = "Connection", "Tuning", "Selection", "Archives", "Output"
DEFAULTS = Limits()

Sources = Annotated[
    list[Path],
    typer.Argument(
        readable=False, metavar="SOURCE", help="Directories; each entry of one becomes an archive.", show_default=False
    ),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="DEST",
        help="user@host:/dir, host:dir (below the home directory) or sftp://user@host:port/dir. "
        "The host may be an alias of ~/.ssh/config.",
        show_default=False,
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
        show_default="ssh-agent and ~/.ssh",
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
Workers = Annotated[int, typer.Option(help="Entries under way at once.", rich_help_panel=_TUNING)]
Processes = Annotated[
    int, typer.Option(help="Packing processes.", rich_help_panel=_TUNING, show_default="number of CPUs")
]
Connections = Annotated[int, typer.Option(help="SSH connections.", rich_help_panel=_TUNING)]
Channels = Annotated[int, typer.Option(help="SFTP channels of each connection.", rich_help_panel=_TUNING)]
Queue = Annotated[int, typer.Option(help="Entries found ahead of the workers.", rich_help_panel=_TUNING)]
SegmentSize = Annotated[
    str,
    typer.Option(metavar="SIZE", help="Bytes of files that are packed and sent as one piece.", rich_help_panel=_TUNING),
]
Retries = Annotated[
    int, typer.Option(help="New attempts after a mismatch or a lost connection.", rich_help_panel=_TUNING)
]
LimitRate = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Bytes a second over all connections, such as 10M.",
        rich_help_panel=_TUNING,
        show_default="no limit",
    ),
]
Level = Annotated[
    int,
    typer.Option(help="Compression: 0-3 is fast (igzip), 4-9 is small (zlib-ng).", rich_help_panel=_ARCHIVES),
]
TimestampFormat = Annotated[
    str,
    typer.Option(
        metavar="FORMAT",
        help="strftime format of the time in archives' names; '%d-%m-%Y-%H:%M:%S' gives the classic ones.",
        rich_help_panel=_ARCHIVES,
    ),
]
HashName = Annotated[
    str, typer.Option("--hash", metavar="|".join(HASHES), help="Digest to verify with.", rich_help_panel=_ARCHIVES)
]
VerifyMode = Annotated[
    Verify,
    typer.Option(
        help="Who computes the digest of what was stored: a command on the server, this program by reading it back, "
        "or whichever works.",
        rich_help_panel=_ARCHIVES,
    ),
]
NoChecksumFile = Annotated[
    bool,
    typer.Option("--no-checksum-file", help="Write no NAME.tar.gz.md5 beside archives.", rich_help_panel=_ARCHIVES),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Leave out what matches a gitignore pattern, inside entries and among them; may be given several times.",
        rich_help_panel=_SELECTION,
        show_default=False,
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
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, without connecting.", rich_help_panel=_OUTPUT)
]
Json = Annotated[
    bool, typer.Option("--json", help="Print every event as a JSON object a line.", rich_help_panel=_OUTPUT)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print trouble only.", rich_help_panel=_OUTPUT)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more.", rich_help_panel=_OUTPUT)]

DEFAULT_SEGMENT_SIZE = f"{DEFAULTS.segment_size >> 20}MiB"
DEFAULT_PROCESSES = os.cpu_count() or 1
