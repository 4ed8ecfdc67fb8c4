"""`async-backup restore`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from async_backup.archive_names import parse_moment
from async_backup.cli.connecting import destination_of, ssh_settings
from async_backup.cli.execute import fail, run_until_stopped
from async_backup.cli.foreseen import show_foreseen
from async_backup.cli.listening import listening
from async_backup.cli.options import archives, connection, output, restoring, tuning
from async_backup.cli.options import profile as from_profile
from async_backup.cli.places import archive_in, places
from async_backup.config import Limits
from async_backup.errors import SettingsError
from async_backup.restoring.everything import restore_all
from async_backup.restoring.model import RestoreSettings, Which
from async_backup.restoring.restore import restore as restore_one
from async_backup.ui.restoring import RestoreBar, RestorePrinter
from async_backup.unpack.rules import Overwrite

if TYPE_CHECKING:
    from datetime import datetime

    from anyio import Event

    from async_backup.restoring.model import AllReport, RestoreReport


def restore(
    ctx: typer.Context,
    to: restoring.Target,
    dest: from_profile.OptionalDest = None,
    archive: from_profile.OptionalArchive = None,
    paths: archives.ArchivePaths = None,
    profile: from_profile.Profile = None,
    config: from_profile.Config = None,
    everything: restoring.Everything = False,
    as_of: restoring.AsOf = None,
    dry_run: restoring.DryRun = False,
    include: restoring.Include = None,
    exclude: restoring.Exclude = None,
    overwrite: restoring.OverwriteMode = Overwrite.NEVER,
    salvage: restoring.Salvage = False,
    same_permissions: restoring.SamePermissions = False,
    outside_links: restoring.OutsideLinks = False,
    devices: restoring.Devices = False,
    numeric_owner: restoring.NumericOwner = False,
    no_xattrs: restoring.NoXattrsBack = False,
    timestamp_format: archives.TimestampFormats = None,
    port: connection.Port = None,
    key: connection.Keys = None,
    known_hosts: connection.KnownHosts = None,
    ssh_config: connection.SshConfig = None,
    timeout: connection.Timeout = 60,
    processes: tuning.Processes = tuning.DEFAULTS.processes,
    connections: tuning.Connections = tuning.DEFAULTS.connections,
    channels: tuning.Channels = tuning.DEFAULTS.channels,
    retries: tuning.Retries = tuning.DEFAULTS.retries,
    as_json: output.Json = False,
    quiet: output.Quiet = False,
    verbose: output.Verbose = False,
) -> None:
    """Restore an archive, or the PATHs that you name from it, into a directory.

    ARCHIVE is an archive's whole name, an entry (its newest archive), or ENTRY@2026-11-20 (the newest not after that).
    --all restores the newest archive of every entry instead, or of those that are named in the place of ARCHIVE.
    With --profile DEST may be left out: it is the first destination of the profile.
    """
    del profile, config
    try:
        destinations, words = places(ctx, dest, (archive, *(paths or ())))
        wanted, inside = ("*", []) if everything else archive_in(words)
        which = Which(tuple(map(os.fsencode, words)), _end_of(as_of, everything=everything))
        settings = RestoreSettings(
            destination_of(destinations[0], port),
            os.fsencode(wanted),
            to.expanduser(),
            tuple(map(os.fsencode, inside)),
            ssh=ssh_settings(key, known_hosts, ssh_config, timeout),
            limits=Limits(processes=processes, connections=connections, channels=channels, retries=retries),
            timestamp_formats=archives.formats(timestamp_format),
            overwrite=overwrite,
            salvage=salvage,
            devices=devices,
            same_permissions=same_permissions,
            outside_links=outside_links,
            numeric_owner=numeric_owner,
            xattrs=not no_xattrs,
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
        )
        verbosity = output.verbosity(quiet=quiet, verbose=verbose)
    except SettingsError as error:
        fail(error, as_json=as_json)
    if dry_run:
        show_foreseen(settings, which if everything else None, as_json=as_json, verbosity=verbosity)
    display, listener = listening(
        RestoreBar,
        lambda out, err: RestorePrinter(settings.target, out, err, verbosity),
        as_json=as_json,
        verbosity=verbosity,
    )

    async def job(stop: Event) -> RestoreReport | AllReport:
        if everything:
            return await restore_all(settings, which, listener, stop=stop)
        return await restore_one(settings, listener, stop=stop)

    with display:
        report = run_until_stopped(job, as_json=as_json)
    raise typer.Exit(report.exit_code)


def _end_of(as_of: str | None, *, everything: bool) -> datetime | None:
    if as_of is None:
        return None
    if not everything:
        raise SettingsError("--as-of goes with --all; of one entry, ENTRY@TIME is the archive")
    return parse_moment(as_of)
