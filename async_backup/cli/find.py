"""`async-backup find DEST PATTERN...`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from anyio import to_thread

from async_backup.archive_names import NameParser
from async_backup.cli.execute import fail
from async_backup.cli.options import archives, connection, output, tuning
from async_backup.cli.options import profile as from_profile
from async_backup.cli.output import complain
from async_backup.cli.places import at_each, places
from async_backup.cli.reading import read_until_stopped, say_all, where_of
from async_backup.config import check_patterns
from async_backup.errors import ExitCode, SettingsError
from async_backup.listing.finding import find as find_in
from async_backup.text import shown
from async_backup.ui.finding import finding_lines, version_fields
from async_backup.ui.json_lines import json_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio import Event

    from async_backup.listing.finding import Finding
    from async_backup.remote.store import SftpStore


def find(
    ctx: from_profile.Context,
    dest: from_profile.OptionalDest = None,
    patterns: archives.FoundPatterns = None,
    to: from_profile.Places = None,
    profile: from_profile.Profile = None,
    config: from_profile.Config = None,
    entry: archives.FoundEntries = None,
    timestamp_format: archives.TimestampFormats = None,
    port: connection.Port = None,
    key: connection.Keys = None,
    known_hosts: connection.KnownHosts = None,
    ssh_config: connection.SshConfig = None,
    timeout: connection.Timeout = 60,
    retries: tuning.Retries = tuning.DEFAULTS.retries,
    as_json: output.JsonLines = False,
) -> None:
    """Find files in all archives: which hold them, and in which versions.

    A PATTERN is one of gitignore, as for --exclude, matched against paths inside entries: report.odt at any depth,
    '*.conf', '/etc/*.d/', 'docs/**/*.pdf'. A directory that matches is told alone; 'docs/**' tells all that is below
    it. Archives are not fetched, only their indexes. With --profile the destinations are those of the profile, and all
    arguments are patterns.
    """
    del profile, config
    try:
        destinations, words = places(ctx, dest, patterns or (), to)
        _check(words)
        wheres = [where_of(each, port, key, known_hosts, ssh_config, timeout, retries) for each in destinations]
        names, entries = NameParser(archives.formats(timestamp_format)), list(map(os.fsencode, entry or ()))
    except SettingsError as error:
        fail(error, as_json=as_json)

    async def look(store: SftpStore, stop: Event) -> ExitCode:
        finding = await find_in(store, names, words, entries)
        for archive, reason in finding.unread:
            complain(f"not looked into: {shown(archive.path)}: {shown(reason)}")
        lines = map(json_line, _fields(finding)) if as_json else finding_lines(finding)
        await to_thread.run_sync(say_all, lines, stop, abandon_on_cancel=True)
        return ExitCode.INCOMPLETE if finding.unread else ExitCode.COMPLETE

    def find_at(number: int) -> int:
        return read_until_stopped(wheres[number], look, as_json=as_json)

    at_each(destinations, find_at, as_json=as_json)


def _fields(finding: Finding) -> Iterator[dict[str, object]]:
    return (version_fields(found, version) for found in finding.found for version in found.versions)


def _check(patterns: list[str]) -> None:
    if not patterns:
        raise SettingsError("no pattern was given: name a file, or a pattern of gitignore, after the destination")
    check_patterns(tuple(patterns), "this is no pattern of gitignore")
