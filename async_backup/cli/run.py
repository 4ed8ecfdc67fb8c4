"""`async-backup run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from async_backup.archive.selection import Selection
from async_backup.archive_names import NameParser
from async_backup.cli.attended import Along, backup_attended, going_along, sizes_file
from async_backup.cli.connecting import destination_of, ssh_settings
from async_backup.cli.dry_run import show_plan
from async_backup.cli.execute import fail, run_until_stopped
from async_backup.cli.listening import listening
from async_backup.cli.options import archives, connection, output, selection, tuning, unattended
from async_backup.cli.options import profile as from_profile
from async_backup.cli.profile import chosen
from async_backup.config import (
    DEFAULT_TIMESTAMP,
    Changed,
    Limits,
    Settings,
    Verify,
    check_patterns,
    parse_size,
)
from async_backup.counting import Counter, Counting
from async_backup.errors import BackupError, ExitCode, SettingsError
from async_backup.last_run import load
from async_backup.scan import resolve_sources
from async_backup.ui.bars import Bars
from async_backup.ui.plain import PlainPrinter

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def run(
    ctx: typer.Context,
    sources: selection.Sources,
    to: connection.To,
    profile: from_profile.Profile = None,
    config: from_profile.Config = None,
    port: connection.Port = None,
    key: connection.Keys = None,
    known_hosts: connection.KnownHosts = None,
    ssh_config: connection.SshConfig = None,
    timeout: connection.Timeout = 60,
    workers: tuning.Workers = tuning.DEFAULTS.workers,
    processes: tuning.Processes = tuning.DEFAULTS.processes,
    connections: tuning.Connections = tuning.DEFAULTS.connections,
    channels: tuning.Channels = tuning.DEFAULTS.channels,
    queue: tuning.Queue = tuning.DEFAULTS.queue,
    segment_size: tuning.SegmentSize = tuning.DEFAULT_SEGMENT_SIZE,
    retries: tuning.Retries = tuning.DEFAULTS.retries,
    limit_rate: tuning.LimitRate = None,
    level: archives.Level = 1,
    timestamp_format: archives.TimestampFormat = DEFAULT_TIMESTAMP,
    hash_name: archives.HashName = "md5",
    verify: archives.VerifyMode = Verify.AUTO,
    no_checksum_file: archives.NoChecksumFile = False,
    link_unchanged: archives.LinkUnchanged = False,
    copy_unchanged: archives.CopyUnchanged = False,
    no_xattrs: archives.NoXattrs = False,
    changed: archives.OnChange = Changed.WARN,
    only: selection.Only = None,
    exclude: selection.Exclude = None,
    exclude_from: selection.ExcludeFrom = None,
    exclude_caches: selection.ExcludeCaches = False,
    one_file_system: selection.OneFileSystem = False,
    dry_run: output.DryRun = False,
    lock_wait: unattended.LockWait = "0",
    ping: unattended.Ping = None,
    metrics: unattended.Metrics = None,
    report: unattended.ReportFile = None,
    log: output.Log = False,
    as_json: output.Json = False,
    quiet: output.Quiet = False,
    verbose: output.Verbose = False,
) -> None:
    """Back up every entry of the SOURCEs, verified.

    Each entry becomes NAME-TIMESTAMP.tar.gz in DEST; with several SOURCEs, in DEST/SOURCE's name.
    """
    del config
    try:
        verbosity = output.verbosity(quiet=quiet, verbose=verbose)
        NameParser((timestamp_format,))  # what cannot be read back could not be found, nor pruned
        settings = Settings(
            sources=tuple(sources),
            destinations=tuple(destination_of(each, port) for each in to),
            ssh=ssh_settings(key, known_hosts, ssh_config, timeout),
            limits=Limits(
                workers,
                processes,
                connections,
                channels,
                queue,
                parse_size(segment_size),
                retries,
                parse_size(limit_rate) if limit_rate is not None else None,
            ),
            selection=Selection(_patterns(exclude or [], exclude_from or []), exclude_caches, one_file_system),
            only=tuple(only or ()),
            timestamp_format=timestamp_format,
            level=level,
            hash=hash_name,
            verify=verify,
            checksum_file=not no_checksum_file,
            xattrs=not no_xattrs,
            changed=changed,
            link_unchanged=link_unchanged,
            copy_unchanged=copy_unchanged,
        )
        along = going_along(
            settings,
            profile=profile or "",
            hooks=chosen(ctx).hooks,
            ping=ping,
            lock_wait=lock_wait,
            metrics=metrics,
            page=report,
        )
    except SettingsError as error:
        fail(error, as_json=as_json)
    if dry_run:
        show_plan(settings, as_json=as_json)
    else:
        _run(settings, along, log=log, as_json=as_json, verbosity=verbosity)


def _patterns(given: list[str], files: list[Path]) -> tuple[str, ...]:
    patterns = list(given)
    for file in files:
        try:
            lines = tuple(file.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n"))
        except OSError as error:
            raise SettingsError(f"the exclude file {file} cannot be read: {error.strerror}") from error
        check_patterns(lines, f"a pattern in the exclude file {file} is not valid")
        patterns += lines
    return tuple(patterns)


def _run(settings: Settings, along: Along, *, log: bool, as_json: bool, verbosity: int) -> None:
    display, listener = listening(
        lambda console: _bars(console, settings, along.profile),
        lambda out, err: PlainPrinter(out, err, verbosity),
        as_json=as_json,
        verbosity=verbosity,
        log=log,
    )
    with display:
        report = run_until_stopped(lambda stop: backup_attended(settings, along, listener, stop), as_json=as_json)
    raise typer.Exit(report.exit_code if report else ExitCode.INTERRUPTED)


def _bars(console: Console, settings: Settings, profile: str) -> Bars:
    """Bars that know the sizes of the last run, and count what that had not."""
    last = load(sizes_file(settings, profile))
    try:
        sources = resolve_sources(settings.sources, settings.only)
    except BackupError:
        return Bars(console, last=last)  # the run is going to say so
    counting = Counting(tuple(sources), settings.selection, settings.only, last.entries.keys())
    return Bars(console, last=last, counter=Counter(counting))
