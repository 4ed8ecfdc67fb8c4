"""`async-backup bench`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from async_backup.benching.model import BenchSettings, Grid, Sample, default_grid
from async_backup.cli.connecting import destination_of, ssh_settings
from async_backup.cli.execute import fail, run_until_stopped
from async_backup.cli.listening import listening
from async_backup.cli.options import archives, connection, output
from async_backup.cli.options import bench as options
from async_backup.config import Limits, Verify
from async_backup.errors import SettingsError

if TYPE_CHECKING:
    from async_backup.benching.model import BenchReport
    from async_backup.ui.plot import Plot


def bench(
    dest: connection.Dest,
    source: options.Source = None,
    sample: options.SampleKind = None,
    seconds: options.Seconds = 60,
    sweep: options.Sweep = False,
    plot: options.PlotFile = None,
    workers: options.Workers = None,
    processes: options.Processes = None,
    connections: options.Connections = None,
    channels: options.Channels = None,
    segment_size: options.SegmentSize = None,
    port: connection.Port = None,
    key: connection.Keys = None,
    known_hosts: connection.KnownHosts = None,
    ssh_config: connection.SshConfig = None,
    timeout: connection.Timeout = 60,
    level: archives.Level = 1,
    hash_name: archives.HashName = "md5",
    verify: archives.VerifyMode = Verify.AUTO,
    as_json: output.Json = False,
    quiet: output.Quiet = False,
    verbose: output.Verbose = False,
) -> None:
    """Measure what a backup to DEST is made of, say what holds it back, and recommend flags.

    Packing, round trip, uploads, digests and small files are measured one by one, then a whole backup of a sample.
    All of it happens in a directory of its own in DEST, which is removed at the end, also when it is interrupted.
    """
    # not at start-up, of which every other command would pay its share
    from async_backup.benching.bench import bench as measure  # noqa: PLC0415
    from async_backup.ui.benching import BenchBar, BenchPrinter  # noqa: PLC0415
    from async_backup.ui.plot import Plot  # noqa: PLC0415

    try:
        given = Grid(
            options.numbers(connections, "--connections"),
            options.numbers(channels, "--channels"),
            options.numbers(workers, "--workers"),
            options.numbers(processes, "--processes"),
            options.sizes(segment_size, "--segment-size"),
        )
        if source is not None and sample is not None:
            raise SettingsError("--source and --sample contradict each other")
        settings = BenchSettings(
            destination_of(dest, port),
            ssh_settings(key, known_hosts, ssh_config, timeout),
            _base(given, is_sweep=sweep),
            source=source,
            sample=sample or Sample.FEW_LARGE,
            seconds=seconds,
            sweep=_grid(given) if sweep else None,
            level=level,
            hash=hash_name,
            verify=verify,
        )
        picture = Plot(plot) if plot is not None else None
        verbosity = output.verbosity(quiet=quiet, verbose=verbose)
    except SettingsError as error:
        fail(error, as_json=as_json)
    display, listener = listening(
        BenchBar,
        lambda out, err: BenchPrinter(out, err, verbosity, is_sweep=sweep),
        as_json=as_json,
        verbosity=verbosity,
    )
    with display:
        report = run_until_stopped(lambda stop: measure(settings, listener, stop=stop), as_json=as_json)
    if picture is not None:
        _draw(picture, report, settings, as_json=as_json)
    raise typer.Exit(report.exit_code)


def _base(given: Grid, *, is_sweep: bool) -> Limits:
    """The flags to begin with: of a list the usual value where it is in it, or else the first one."""
    limits = Limits()
    for name, values in given.dimensions():
        if len(values) > 1 and not is_sweep:
            raise SettingsError(f"several values for {name.replace('_', ' ')} are compared with --sweep only")
        if values and getattr(limits, name) not in values:
            limits = replace(limits, **{name: values[0]})
    return limits


def _grid(given: Grid) -> Grid:
    """What was given; where that leaves nothing to compare, the usual values for the flags that were not."""
    if any(len(values) > 1 for _, values in given.dimensions()):
        return given
    usual = dict(default_grid().dimensions())
    return Grid(**{name: values or usual[name] for name, values in given.dimensions()})


def _draw(picture: Plot, report: BenchReport, settings: BenchSettings, *, as_json: bool) -> None:
    host = settings.destination.host
    try:
        if settings.sweep is None and report.measurements:
            picture.draw_parts(report.measurements, host)
        elif report.jobs:
            picture.draw_sweep(report.jobs, host)
    except SettingsError as error:
        fail(error, as_json=as_json)
