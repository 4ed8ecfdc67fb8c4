"""`async-backup prune DEST [ENTRY]... --keep-...`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from anyio import Event

from async_backup.archive_names import NameParser
from async_backup.cli.execute import fail, run_until_stopped
from async_backup.cli.options import archives, connection, keeping, output, tuning
from async_backup.cli.options import profile as from_profile
from async_backup.cli.output import complain, say
from async_backup.cli.places import at_each, places
from async_backup.cli.reading import where_of
from async_backup.errors import ExitCode, SettingsError
from async_backup.pruning.model import PruneSettings
from async_backup.pruning.prune import prune as prune_archives
from async_backup.remote.store import open_archives
from async_backup.retention import KeepRules, keep_count, parse_duration
from async_backup.stopping import unless_stopped
from async_backup.ui.json_lines import JsonPrinter
from async_backup.ui.pruning import PrunePrinter

if TYPE_CHECKING:
    from async_backup.cli.reading import Where
    from async_backup.pruning.model import PruneListener, PruneReport


def prune(
    ctx: from_profile.Context,
    dest: from_profile.OptionalDest = None,
    entries: archives.Entries = None,
    to: from_profile.Places = None,
    profile: from_profile.Profile = None,
    config: from_profile.Config = None,
    keep_last: keeping.KeepLast = "0",
    keep_hourly: keeping.KeepHourly = "0",
    keep_daily: keeping.KeepDaily = "0",
    keep_weekly: keeping.KeepWeekly = "0",
    keep_monthly: keeping.KeepMonthly = "0",
    keep_yearly: keeping.KeepYearly = "0",
    keep_within: keeping.KeepWithin = None,
    dry_run: output.PruneDryRun = False,
    timestamp_format: archives.TimestampFormats = None,
    port: connection.Port = None,
    key: connection.Keys = None,
    known_hosts: connection.KnownHosts = None,
    ssh_config: connection.SshConfig = None,
    timeout: connection.Timeout = 60,
    retries: tuning.Retries = tuning.DEFAULTS.retries,
    as_json: output.Json = False,
    quiet: output.Quiet = False,
    verbose: output.Verbose = False,
) -> None:
    """Remove old archives: of each entry those that no --keep rule keeps, with their checksum files.

    Never removed, whatever the rules say: the newest verified archive of an entry (where none is verified, the
    newest), the newest that lacks nothing, and what does not have both a name and a footer of ours. Checksum files of
    ours whose archives are gone are removed as well.

    With --profile the destinations are those of the profile, each in turn, and all arguments are entries.
    """
    del profile, config
    try:
        rules = KeepRules(
            last=keep_count(keep_last),
            hourly=keep_count(keep_hourly),
            daily=keep_count(keep_daily),
            weekly=keep_count(keep_weekly),
            monthly=keep_count(keep_monthly),
            yearly=keep_count(keep_yearly),
            within=parse_duration(keep_within) if keep_within is not None else None,
        )
        formats = archives.formats(timestamp_format)
        NameParser(formats)
        destinations, wanted = places(ctx, dest, entries or (), to)
        settings = PruneSettings(rules, tuple(map(os.fsencode, wanted)), formats, dry_run)
        wheres = [where_of(each, port, key, known_hosts, ssh_config, timeout, retries) for each in destinations]
        verbosity = output.verbosity(quiet=quiet, verbose=verbose)
    except SettingsError as error:
        fail(error, as_json=as_json)

    def prune_at(number: int) -> int:
        listener: PruneListener = (
            JsonPrinter(say) if as_json else PrunePrinter(say, complain, verbosity, dry_run=dry_run)
        )
        report = run_until_stopped(lambda stop: _prune(wheres[number], settings, listener, stop), as_json=as_json)
        return report.exit_code if report else ExitCode.INTERRUPTED

    at_each(destinations, prune_at, as_json=as_json)


async def _prune(where: Where, settings: PruneSettings, listener: PruneListener, stop: Event) -> PruneReport | None:
    begun = Event()

    async def opened() -> PruneReport:
        async with open_archives(where.destination, where.ssh, where.limits) as store:
            begun.set()
            return await prune_archives(store, settings, listener, stop=stop)

    return await unless_stopped(stop, opened, before=begun)
