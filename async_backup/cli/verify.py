"""`async-backup verify`."""

from __future__ import annotations

import os

import typer

from async_backup.cli import options as opt
from async_backup.cli.connecting import destination_of, ssh_settings
from async_backup.cli.execute import fail, run_until_stopped
from async_backup.cli.listening import listening
from async_backup.config import Limits, Verify
from async_backup.errors import SettingsError
from async_backup.ui.verifying import VerifyBar, VerifyPrinter
from async_backup.verifying.model import VerifySettings
from async_backup.verifying.verify import verify as verify_archives


def verify(
    dest: opt.Dest,
    names: opt.VerifyNames = None,
    deep: opt.Deep = False,
    repair_checksums: opt.RepairChecksums = False,
    verify: opt.VerifyMode = Verify.AUTO,
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
    """Verify the archives in DEST, or those of the entries that you name.

    The server computes the digest of each, which is compared with the one in its checksum file; no archive travels.
    With --deep archives are read back and every segment and every member is compared with the index.
    """
    try:
        settings = VerifySettings(
            destination_of(dest, port),
            tuple(os.fsencode(name) for name in names or ()),
            ssh=ssh_settings(key, known_hosts, ssh_config, timeout),
            limits=Limits(processes=processes, connections=connections, channels=channels, retries=retries),
            timestamp_formats=opt.formats(timestamp_format),
            verify=verify,
            deep=deep,
            repair_checksums=repair_checksums,
        )
        verbosity = opt.verbosity(quiet=quiet, verbose=verbose)
    except SettingsError as error:
        fail(error, as_json=as_json)
    display, listener = listening(
        lambda console: VerifyBar(console, of_bytes=deep),
        lambda out, err: VerifyPrinter(out, err, verbosity, deep=deep),
        as_json=as_json,
        verbosity=verbosity,
    )
    with display:
        report = run_until_stopped(lambda stop: verify_archives(settings, listener, stop=stop), as_json=as_json)
    raise typer.Exit(report.exit_code)
