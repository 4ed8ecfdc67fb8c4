"""`async-backup ls DEST ARCHIVE [PATH]...`."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from anyio import to_thread

from async_backup.archive_names import NameParser
from async_backup.archived import NoIndex
from async_backup.catalog import read_catalog
from async_backup.cli.execute import fail
from async_backup.cli.options import archives, connection, output, tuning
from async_backup.cli.options import profile as from_profile
from async_backup.cli.places import archive_in, places
from async_backup.cli.reading import read_until_stopped, say_all, where_of
from async_backup.errors import DamagedArchive, SettingsError
from async_backup.listing.contents import read_contents
from async_backup.remote.places import path_in
from async_backup.ui.json_lines import json_line
from async_backup.ui.listing import MemberLines, member_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio import Event

    from async_backup.config import Destination
    from async_backup.listing.contents import Contents
    from async_backup.remote.store import SftpStore


def ls(
    ctx: from_profile.Context,
    dest: from_profile.OptionalDest = None,
    archive: from_profile.OptionalArchive = None,
    paths: archives.ListedPaths = None,
    profile: from_profile.Profile = None,
    config: from_profile.Config = None,
    recursive: output.Recursive = False,
    timestamp_format: archives.TimestampFormats = None,
    port: connection.Port = None,
    key: connection.Keys = None,
    known_hosts: connection.KnownHosts = None,
    ssh_config: connection.SshConfig = None,
    timeout: connection.Timeout = 60,
    retries: tuning.Retries = tuning.DEFAULTS.retries,
    as_json: output.JsonLines = False,
) -> None:
    """List what is in an archive, by its index: nothing else of it is fetched.

    ARCHIVE is an archive's whole name, an entry (its newest archive), or ENTRY@2026-11-20 (the newest not after that).
    The name of the entry may be left out of PATH. Owners are numbers, times are local.
    With --profile DEST may be left out: it is the first destination of the profile.
    """
    del profile, config
    try:
        destinations, words = places(ctx, dest, (archive, *(paths or ())))
        wanted, inside = archive_in(words)
        where = where_of(destinations[0], port, key, known_hosts, ssh_config, timeout, retries)
        names = NameParser(archives.formats(timestamp_format))
    except SettingsError as error:
        fail(error, as_json=as_json)

    async def show(store: SftpStore, stop: Event) -> None:
        found = (await read_catalog(store, names)).find(os.fsencode(wanted))
        contents = await _contents(store, found.path, where.destination)
        lines = _lines(contents, [os.fsencode(path) for path in inside], recursive=recursive, as_json=as_json)
        await to_thread.run_sync(say_all, lines, stop, abandon_on_cancel=True)

    read_until_stopped(where, show, as_json=as_json)


def _lines(contents: Contents, paths: list[bytes], *, recursive: bool, as_json: bool) -> Iterator[str]:
    members = contents.members(paths, recursive=recursive)
    return (json_line(member_fields(member)) for member in members) if as_json else map(MemberLines(), members)


async def _contents(store: SftpStore, path: bytes, destination: Destination) -> Contents:
    try:
        return await read_contents(store, path)
    except DamagedArchive as error:
        salvage = "" if isinstance(error, NoIndex) else " --salvage"
        command = _tar_command(destination, path_in(store, path))
        raise DamagedArchive(
            f"{os.fsdecode(path)} has no index that can be read ({error.__cause__ or error}); "
            f"restore{salvage} reads it all the same, and this lists it: {command}"
        ) from error


def _tar_command(destination: Destination, path: bytes) -> str:
    quoted = shlex.quote(os.fsdecode(path))
    command = f"tar -tzvf {quoted}"
    if quoted != os.fsdecode(path):
        command = shlex.quote(command)  # the shell here takes one pair of quotes away, the one on the server another
    port = f"-p {destination.port} " if destination.port else ""
    user = f"{destination.user}@" if destination.user else ""
    return f"ssh {port}{user}{destination.host} {command}"
