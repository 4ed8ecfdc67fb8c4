"""What archives are like and are called, and which of them are meant."""

from __future__ import annotations

from typing import Annotated

import typer

from async_backup.archive_names import USUAL_FORMATS
from async_backup.config import HASHES, Changed, Verify

_ARCHIVES = "Archives"

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
        help="Who computes the digest of what was stored: the server (command), this program from what it reads back "
        "(readback), or whichever works (auto).",
        rich_help_panel=_ARCHIVES,
    ),
]
NoChecksumFile = Annotated[
    bool,
    typer.Option("--no-checksum-file", help="Write no NAME.tar.gz.md5 beside archives.", rich_help_panel=_ARCHIVES),
]
LinkUnchanged = Annotated[
    bool,
    typer.Option(
        "--link-unchanged",
        help="Give an entry that has not changed since its newest verified archive a hard link to that on the server, "
        "once its digest is found right, in the place of packing and sending it again.",
        rich_help_panel=_ARCHIVES,
    ),
]
CopyUnchanged = Annotated[
    bool,
    typer.Option(
        "--copy-unchanged",
        help="Have the server copy what an archive has in common with the one before it, in the place of sending it: "
        "for slow lines.",
        rich_help_panel=_ARCHIVES,
    ),
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
ArchivePaths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Files and directories in the archive.", show_default="all of it"),
]
Entries = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ENTRY", help="Entries, such as wiki for wiki-2026-11-20T031500.tar.gz.", show_default="all"
    ),
]
MaxAge = Annotated[
    str | None,
    typer.Option(
        metavar="AGE",
        help="Exit with 3 and name the entries whose newest archive is older than 36h or 2d, by the time in its name.",
        show_default=False,
    ),
]
ListedPaths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="Files, and directories of which what is directly in them is listed.",
        show_default="all that is in the archive",
    ),
]
FoundPatterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATTERN", help="A name, or a pattern of gitignore, for paths inside entries.", show_default=False
    ),
]
FoundEntries = Annotated[
    list[str] | None,
    typer.Option(
        "--entry",
        metavar="ENTRY",
        help="Look only into archives of it; may be given several times.",
        show_default="all",
    ),
]
VerifyNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ENTRY",
        help="Entries (all their archives), NAME.tar.gz, or ENTRY@2026-11-20 (the newest not after that).",
        show_default="all archives",
    ),
]
Deep = Annotated[bool, typer.Option("--deep", help="Read archives back, and check every segment and every member.")]
RepairChecksums = Annotated[
    bool,
    typer.Option("--repair-checksums", help="With --deep: write missing checksum files of archives that are whole."),
]


def formats(given: list[str] | None) -> tuple[str, ...]:
    """The timestamp formats in which names of archives are read."""
    return tuple(given or USUAL_FORMATS)
