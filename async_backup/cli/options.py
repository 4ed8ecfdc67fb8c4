"""Every option of the command line, declared once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from async_backup.archive_names import USUAL_FORMATS
from async_backup.config import HASHES, Changed, Limits, Verify
from async_backup.errors import SettingsError
from async_backup.ui.lines import NORMAL, QUIET, VERBOSE
from async_backup.unpack.rules import Overwrite

_CONNECTION, _TUNING, _SELECTION, _ARCHIVES, _OUTPUT = "Connection", "Tuning", "Selection", "Archives", "Output"
_RESTORING = "Restoring"
_KEEPING = "What stays"
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
        help="strftime format of the time in archives' names; '%d-%m-%Y-%H:%M:%S' gives the classic ones. It has to "
        "hold a whole date and may use %Y %y %m %d %j %H %M %S %f %F %T %R, or %s alone. Give the same to list, ls, "
        "restore, verify and prune.",
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
NoXattrs = Annotated[
    bool,
    typer.Option("--no-xattrs", help="Store no extended attributes and no ACLs.", rich_help_panel=_ARCHIVES),
]
OnChange = Annotated[
    Changed,
    typer.Option(
        "--changed",
        help="What a file is that changes whenever it is read: a loss that is named (exit code 3), a reason not to "
        "commit its entry, or nothing to speak of.",
        rich_help_panel=_ARCHIVES,
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
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, without connecting.", rich_help_panel=_OUTPUT)
]
Json = Annotated[
    bool, typer.Option("--json", help="Print every event as a JSON object a line.", rich_help_panel=_OUTPUT)
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print a JSON object a line.", rich_help_panel=_OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print trouble only.", rich_help_panel=_OUTPUT)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more.", rich_help_panel=_OUTPUT)]

ArchiveName = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE",
        help="NAME.tar.gz, an entry (its newest archive) or ENTRY@2026-11-20 (the newest not after that).",
        show_default=False,
    ),
]
ArchivePaths = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATH]...", help="Files and directories in the archive.", show_default="all of it"),
]
TimestampFormats = Annotated[
    list[str] | None,
    typer.Option(
        "--timestamp-format",
        metavar="FORMAT",
        help="strftime format of the times in archives' names, if it was another than usual; may be given several "
        "times.",
        show_default="the usual and the classic one",
    ),
]
Target = Annotated[
    Path,
    typer.Option("--to", metavar="DIR", help="Directory to restore into; made if missing.", show_default=False),
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

Entries = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ENTRY]...", help="Entries, such as wiki for wiki-2026-11-20T031500.tar.gz.", show_default="all"
    ),
]
ListedPaths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH]...",
        help="Files, and directories of which what is directly in them is listed.",
        show_default="all that is in the archive",
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-R", help="List all that is below each PATH.", rich_help_panel=_OUTPUT)
]
KeepLast = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the N newest archives; `unlimited`, here and below, keeps all.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepHourly = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N hours that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepDaily = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N days that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepWeekly = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N weeks (from Monday) that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepMonthly = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N months that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepYearly = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Keep the newest of each of the last N years that have any.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
KeepWithin = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Keep what is not older than the newest archive by more than this, such as 30d or 1y6m.",
        rich_help_panel=_KEEPING,
        show_default=False,
    ),
]
PruneDryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show what would stay, and why, and what would go.", rich_help_panel=_OUTPUT),
]

VerifyNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ENTRY]...",
        help="Entries (all their archives), NAME.tar.gz, or ENTRY@2026-11-20 (the newest not after that).",
        show_default="all archives",
    ),
]
Deep = Annotated[bool, typer.Option("--deep", help="Read archives back, and check every segment and every member.")]
RepairChecksums = Annotated[
    bool,
    typer.Option("--repair-checksums", help="With --deep: write missing checksum files of archives that are whole."),
]

DEFAULT_SEGMENT_SIZE = f"{DEFAULTS.segment_size >> 20}MiB"
DEFAULT_PROCESSES = os.cpu_count() or 1


def verbosity(*, quiet: bool, verbose: bool) -> int:
    """How much is printed; raises SettingsError where both were asked for."""
    if quiet and verbose:
        raise SettingsError("--quiet and --verbose contradict each other")
    return QUIET if quiet else VERBOSE if verbose else NORMAL


def formats(given: list[str] | None) -> tuple[str, ...]:
    """The timestamp formats in which names of archives are read."""
    return tuple(given or USUAL_FORMATS)
