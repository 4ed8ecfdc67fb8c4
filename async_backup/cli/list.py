"""`async-backup list DEST [ENTRY]...`."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from async_backup.archive_names import NameParser
from async_backup.cli.execute import fail
from async_backup.cli.options import archives, connection, output, tuning
from async_backup.cli.options import profile as from_profile
from async_backup.cli.output import complain, say_result
from async_backup.cli.places import at_each, places
from async_backup.cli.reading import read_until_stopped, where_of
from async_backup.durations import parse_seconds
from async_backup.errors import ExitCode, SettingsError
from async_backup.listing.archives import list_archives
from async_backup.ui.json_lines import json_line
from async_backup.ui.listing import future_lines, listed_fields, listing_lines, outdated_lines

if TYPE_CHECKING:
    from anyio import Event

    from async_backup.listing.archives import Listing
    from async_backup.remote.store import SftpStore


def list_(
    ctx: from_profile.Context,
    dest: from_profile.OptionalDest = None,
    entries: archives.Entries = None,
    to: from_profile.Places = None,
    profile: from_profile.Profile = None,
    config: from_profile.Config = None,
    max_age: archives.MaxAge = None,
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
    directories and links. With --profile the destinations are those of the profile, and all arguments are entries.
    """
    del profile, config
    try:
        destinations, words = places(ctx, dest, entries or (), to)
        wanted = list(map(os.fsencode, words))
        is_detailed = bool(wanted) or verbose or as_json
        wheres = [where_of(each, port, key, known_hosts, ssh_config, timeout, retries) for each in destinations]
        names = NameParser(archives.formats(timestamp_format))
        age = None if max_age is None else timedelta(seconds=parse_seconds(max_age))
    except SettingsError as error:
        fail(error, as_json=as_json)

    async def read(store: SftpStore, stop: Event) -> Listing:
        del stop
        return await list_archives(store, names, wanted, checksums=is_detailed)

    def list_at(number: int) -> int:
        listing = read_until_stopped(wheres[number], read, as_json=as_json)
        lines = listing_lines(listing, str(wheres[number].destination), is_detailed=is_detailed)
        for line in map(json_line, map(listed_fields, listing.archives)) if as_json else lines:
            say_result(line)
        return ExitCode.COMPLETE if age is None or _is_recent(listing, age) else ExitCode.INCOMPLETE

    at_each(destinations, list_at, as_json=as_json)


_AHEAD = timedelta(hours=26)
"""How far the clock of a machine may be ahead by its time zone: from UTC-12 to UTC+14."""


def _is_recent(listing: Listing, age: timedelta) -> bool:
    """Whether every entry has a new archive, and there are entries; what has none is told."""
    now = datetime.now()
    before, until = now - min(age, now - datetime.min), now + min(_AHEAD, datetime.max - now)
    outdated, future = listing.outdated(before, until), listing.later_than(until)
    for line in [*future_lines(future, now), *outdated_lines(outdated, future, now)]:
        complain(line)
    if listing.newest(until):
        return not outdated
    lack = "the name of no archive tells an entry and a time" if listing.archives else "there is no archive at all"
    complain(f"too old: {lack}")
    return False
