"""`async-backup verify`."""

from __future__ import annotations

import os
from dataclasses import replace

from async_backup.cli.connecting import destination_of, ssh_settings
from async_backup.cli.execute import fail, run_until_stopped
from async_backup.cli.listening import listening
from async_backup.cli.options import archives, connection, output, tuning
from async_backup.cli.options import profile as from_profile
from async_backup.cli.places import at_each, places
from async_backup.config import Limits, Verify
from async_backup.errors import SettingsError
from async_backup.ui.verifying import VerifyBar, VerifyPrinter
from async_backup.verifying.model import VerifySettings
from async_backup.verifying.verify import verify as verify_archives


def verify(
    ctx: from_profile.Context,
    dest: from_profile.OptionalDest = None,
    names: archives.VerifyNames = None,
    to: from_profile.Places = None,
    profile: from_profile.Profile = None,
    config: from_profile.Config = None,
    deep: archives.Deep = False,
    repair_checksums: archives.RepairChecksums = False,
    verify: archives.VerifyMode = Verify.AUTO,
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
    """Verify the archives in DEST, or those of the entries that you name.

    The server computes the digest of each, which is compared with the one in its checksum file; no archive travels.
    With --deep archives are read back and every segment and every member is compared with the index.

    With --profile the destinations are those of the profile, each in turn, and all arguments are entries.
    """
    del profile, config
    try:
        destinations, wanted = places(ctx, dest, names or (), to)
        settings = VerifySettings(
            destination_of(destinations[0], port),
            tuple(map(os.fsencode, wanted)),
            ssh=ssh_settings(key, known_hosts, ssh_config, timeout),
            limits=Limits(processes=processes, connections=connections, channels=channels, retries=retries),
            timestamp_formats=archives.formats(timestamp_format),
            verify=verify,
            deep=deep,
            repair_checksums=repair_checksums,
        )
        each = [replace(settings, destination=destination_of(destination, port)) for destination in destinations]
        verbosity = output.verbosity(quiet=quiet, verbose=verbose)
    except SettingsError as error:
        fail(error, as_json=as_json)

    def verify_at(number: int) -> int:
        display, listener = listening(
            lambda console: VerifyBar(console, of_bytes=deep),
            lambda out, err: VerifyPrinter(out, err, verbosity, deep=deep),
            as_json=as_json,
            verbosity=verbosity,
        )
        with display:
            return run_until_stopped(
                lambda stop: verify_archives(each[number], listener, stop=stop), as_json=as_json
            ).exit_code

    at_each(destinations, verify_at, as_json=as_json)
