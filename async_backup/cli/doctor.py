"""`async-backup doctor`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from async_backup.cli.connecting import destination_of, ssh_settings
from async_backup.cli.execute import fail, run_until_stopped
from async_backup.cli.listening import listening
from async_backup.cli.options import archives, connection, output, tuning
from async_backup.cli.options import doctor as options
from async_backup.cli.options import profile as from_profile
from async_backup.cli.output import say
from async_backup.cli.places import at_each, places
from async_backup.cli.profile import user_file
from async_backup.config import Limits, Verify
from async_backup.doctor.model import DoctorSettings, StepStarted
from async_backup.errors import SettingsError
from async_backup.profiles.model import check_name
from async_backup.profiles.reading import load
from async_backup.profiles.writing import add_profile
from async_backup.remote.base import READBACK
from async_backup.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_backup.doctor.model import DoctorEvent, DoctorReport

_USUAL_WIDTH = (100, 24)


def doctor(
    ctx: from_profile.Context,
    dest: from_profile.OptionalDest = None,
    to: from_profile.Places = None,
    profile: from_profile.Profile = None,
    config: options.Config = None,
    write_profile: options.WriteProfile = None,
    port: connection.Port = None,
    key: connection.Keys = None,
    known_hosts: connection.KnownHosts = None,
    ssh_config: connection.SshConfig = None,
    timeout: connection.Timeout = 60,
    connections: tuning.Connections = tuning.DEFAULTS.connections,
    channels: tuning.Channels = tuning.DEFAULTS.channels,
    hash_name: archives.HashName = "md5",
    as_json: output.Json = False,
    quiet: output.Quiet = False,
) -> None:
    """Look at a destination step by step, and say what works, what that means and what to do.

    Name, TCP, host key, authentication, SFTP, shell, digest command, paths, extensions, write rights, free space,
    round trip, connections, clock and rate. What it makes in DEST for that is removed again, also when it is
    interrupted. Exit codes: 0 ready, with warnings or without; 1 no backup is possible; 2 wrong usage or settings;
    3 something stands in the way of a part; 130 interrupted.
    """
    # not at start-up, of which every other command would pay its share
    from async_backup.doctor.examine import examine  # noqa: PLC0415
    from async_backup.ui.doctor import DoctorDisplay, DoctorPrinter  # noqa: PLC0415

    del profile
    file = (config or user_file()).expanduser()
    try:
        _check_profile(file, write_profile, is_named=config is not None)
        destinations, _ = places(ctx, dest, (), to)
        settings = DoctorSettings(
            destination_of(destinations[0], port),
            ssh_settings(key, known_hosts, ssh_config, timeout),
            Limits(connections=connections, channels=channels),
            hash_name,
        )
        each = [replace(settings, destination=destination_of(destination, port)) for destination in destinations]
        if write_profile and len(each) > 1:
            raise SettingsError("--write-profile writes one destination; name one")
        verbosity = output.verbosity(quiet=quiet, verbose=False)
    except SettingsError as error:
        fail(error, as_json=as_json)

    def examine_at(number: int) -> int:
        display, listener = listening(
            DoctorDisplay,
            lambda out, err: DoctorPrinter(out, err, verbosity, width=shutil.get_terminal_size(_USUAL_WIDTH).columns),
            as_json=as_json,
            verbosity=verbosity,
        )
        told = _findings_only(listener) if as_json else listener
        with display:
            report = run_until_stopped(lambda stop: examine(each[number], told, stop=stop), as_json=as_json)
        if write_profile and report.can_back_up and not report.is_interrupted:
            _write(file, write_profile, destinations[0], each[0], report, as_json=as_json)
        return report.exit_code

    at_each(destinations, examine_at, as_json=as_json)


def _check_profile(file: Path, new: str | None, *, is_named: bool) -> None:
    """See that the file is there, or that a profile of this name can be written to it, before anything is tried."""
    if is_named and new is None and not file.exists():
        raise SettingsError(f"there is no configuration file {file}; `async-backup init` writes one")
    if new is None:
        return
    check_name(new)
    if file.exists() and new in load(file).names():
        raise SettingsError(f"{file} has a profile {new} already; choose another name, or edit that one")


def _findings_only(listener: Callable[[DoctorEvent], None]) -> Callable[[DoctorEvent], None]:
    """For programs: what has begun tells them nothing."""

    def told(event: DoctorEvent) -> None:
        if not isinstance(event, StepStarted):
            listener(event)

    return told


def _write(file: Path, name: str, to: str, settings: DoctorSettings, report: DoctorReport, *, as_json: bool) -> None:
    """Add the profile: how to connect as it was asked for, and what the server accepts."""
    ssh, learnt = settings.ssh, report.learnt
    values = {
        "to": [to],
        "port": settings.destination.port,
        "key": [str(key.expanduser().absolute()) for key in ssh.keys] or None,
        "known-hosts": ssh.known_hosts.absolute() if ssh.known_hosts else None,
        "ssh-config": ssh.ssh_config.absolute() if ssh.ssh_config else None,
        "connections": learnt.connections,
        "channels": learnt.channels,
        "hash": settings.hash if settings.hash != "md5" else None,
        "verify": (Verify.READBACK if learnt.verification == READBACK else Verify.AUTO)
        if learnt.verification
        else None,
    }
    try:
        add_profile(file, name, values)
    except SettingsError as error:
        fail(error, as_json=as_json)
    if not as_json:
        say(f"written: profile {shown(name)} in {shown(file)}; add `sources` to it for `run --profile {shown(name)}`")
