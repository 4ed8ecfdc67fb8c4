"""`async-backup list DEST [ENTRY]...`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from async_backup.archive_names import NameParser
from async_backup.cli.execute import fail
from async_backup.cli.options import archives, connection, output, tuning
from async_backup.cli.output import say
from async_backup.cli.reading import read_until_stopped, where_of
from async_backup.errors import SettingsError
from async_backup.listing.archives import list_archives
from async_backup.ui.json_lines import json_line
from async_backup.ui.listing import listed_fields, listing_lines

if TYPE_CHECKING:
    from anyio import Event

    from async_backup.listing.archives import Listing
    from async_backup.remote.store import SftpStore


def list_(
    dest: connection.Dest,
    entries: archives.Entries = None,
    timestamp_format: archives.TimestampFormats = None,
    port: connection.Port = None,
    key: connection.Keys = None,
    known_hosts: connection.KnownHosts = None,
    ssh_config: connection.SshConfig = None,
    timeout: connection.Timeout = 60,
    retries: tuning.Retries = tuning.DEFAULTS.retries,
    as_json: output.JsonLines = False,
    verbose: output.Verbose = False,
) -> None:
    """List the archives in a destination, by entry and from the oldest to the newest.

    CHECKSUM is the hash of which a checksum file lies beside an archive. That is written only once the server's digest
    of the archive equals ours: the archive was verified when it was stored; `verify` tells how it is now. Names of
    archives and the values in their checksum files are shown with an ENTRY, --verbose or --json. MEMBERS are files,
    directories and links.
    """
    wanted = [os.fsencode(entry) for entry in entries or ()]
    is_detailed = bool(wanted) or verbose or as_json
    try:
        where = where_of(dest, port, key, known_hosts, ssh_config, timeout, retries)
        names = NameParser(archives.formats(timestamp_format))
    except SettingsError as error:
        fail(error, as_json=as_json)

    async def read(store: SftpStore, stop: Event) -> Listing:
        del stop
        return await list_archives(store, names, wanted, checksums=is_detailed)

    listing = read_until_stopped(where, read, as_json=as_json)
    for listed in listing.archives if as_json else ():
        say(json_line(listed_fields(listed)))
    for line in () if as_json else listing_lines(listing, str(where.destination), is_detailed=is_detailed):
        say(line)
