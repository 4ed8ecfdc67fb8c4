"""`async-backup restore`."""

from __future__ import annotations

import os

import typer

from async_backup.cli import options as opt
from async_backup.cli.connecting import destination_of, ssh_settings
from async_backup.cli.execute import fail, run_until_stopped
from async_backup.cli.listening import listening
from async_backup.config import Limits
from async_backup.errors import SettingsError
from async_backup.restoring.model import RestoreSettings
from async_backup.restoring.restore import restore as restore_archive
from async_backup.ui.restoring import RestoreBar, RestorePrinter
from async_backup.unpack.rules import Overwrite


def restore(
    dest: opt.Dest,
    archive: opt.ArchiveName,
    to: opt.Target,
    paths: opt.ArchivePaths = None,
    overwrite: opt.OverwriteMode = Overwrite.NEVER,
    salvage: opt.Salvage = False,
    same_permissions: opt.SamePermissions = False,
    outside_links: opt.OutsideLinks = False,
    devices: opt.Devices = False,
    numeric_owner: opt.NumericOwner = False,
    no_xattrs: opt.NoXattrsBack = False,
    timestamp_format: opt.TimestampFormats = None,
    port: opt.Port = None,
    key: opt.Keys = None,
    known_hosts: opt.KnownHosts = None,
    ssh_config: opt.SshConfig = None,
    timeout: opt.Timeout = 60,
    processes: opt.Processes = opt.DEFAULTS.processes,
    connections: opt.Connections = opt.DEFAULTS.connections,
    channels: opt.Channels = opt.DEFAULTS.channels,
    retries: opt.Retries = opt.DEFAULTS.retries,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Restore an archive, or the PATHs that you name from it, into a directory.

    ARCHIVE is an archive's whole name, an entry (its newest archive), or ENTRY@2026-11-20 (the newest not after that).
    """
    try:
        settings = RestoreSettings(
            destination_of(dest, port),
            os.fsencode(archive),
            to.expanduser(),
            tuple(os.fsencode(path) for path in paths or ()),
            ssh=ssh_settings(key, known_hosts, ssh_config, timeout),
            limits=Limits(processes=processes, connections=connections, channels=channels, retries=retries),
            timestamp_formats=opt.formats(timestamp_format),
            overwrite=overwrite,
            salvage=salvage,
            devices=devices,
            same_permissions=same_permissions,
            outside_links=outside_links,
            numeric_owner=numeric_owner,
            xattrs=not no_xattrs,
        )
        verbosity = opt.verbosity(quiet=quiet, verbose=verbose)
    except SettingsError as error:
        fail(error, as_json=as_json)
    display, listener = listening(
        RestoreBar,
        lambda out, err: RestorePrinter(settings.target, out, err, verbosity),
        as_json=as_json,
        verbosity=verbosity,
    )
    with display:
        report = run_until_stopped(lambda stop: restore_archive(settings, listener, stop=stop), as_json=as_json)
    raise typer.Exit(report.exit_code)
