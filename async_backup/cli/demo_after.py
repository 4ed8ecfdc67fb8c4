"""The second half of the demo: what one does with backups afterwards, by the same calls as the commands."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from anyio import to_thread

from async_backup.archive_names import NameParser
from async_backup.backing_up import backup
from async_backup.cli.output import say
from async_backup.config import DEFAULT_TIMESTAMP, Limits
from async_backup.demo.sample import differences, extract
from async_backup.errors import ExitCode
from async_backup.listing.archives import list_archives
from async_backup.pruning.model import PruneSettings
from async_backup.pruning.prune import prune
from async_backup.remote.store import open_archives
from async_backup.restoring.model import RestoreSettings
from async_backup.restoring.restore import restore
from async_backup.retention import KeepRules
from async_backup.text import counted, shown
from async_backup.ui.lines import NORMAL
from async_backup.ui.listing import listing_lines
from async_backup.ui.pruning import PrunePrinter
from async_backup.ui.restoring import RestorePrinter
from async_backup.ui.verifying import VerifyPrinter
from async_backup.verifying.model import VerifySettings
from async_backup.verifying.verify import verify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from anyio import Event

    from async_backup.config import Settings
    from async_backup.model import Committed


def indented(line: str) -> None:
    """Print under a step."""
    say(f"    {line}")


def step(number: int, text: str) -> None:
    """Begin a step."""
    say(f"{number}. {text}")


class AfterTheBackup:
    """Shows `list`, `restore`, `verify` and `prune` on what `settings` backed up, and `committed` out of that."""

    def __init__(self, settings: Settings, committed: Committed, work: Path, server: Path, stop: Event) -> None:
        self._settings = settings
        self._committed = committed
        self._entry = os.fsdecode(committed.entry.name)
        self._work = work
        self._server = server
        self._stop = stop

    async def show(self, first: int, *, again: bool) -> ExitCode:
        """Show all from step number `first` on; `again`: another backup first, so that there is something to prune."""
        steps: list[Callable[[int], Awaitable[ExitCode]]] = [self._back_up_again] if again else []
        steps += [self._list, self._restore, self._verify, self._prune, self._extract]
        for number, show in enumerate(steps, first):
            code = await show(number)
            if code is not ExitCode.COMPLETE:
                return code
        return ExitCode.COMPLETE

    async def _back_up_again(self, number: int) -> ExitCode:
        step(number, "a second backup, dated yesterday, so that there is an old one")
        yesterday = (datetime.now().astimezone() - timedelta(days=1)).strftime(DEFAULT_TIMESTAMP)
        report = await backup(replace(self._settings, timestamp_format=yesterday), stop=self._stop)
        indented(f"{counted(len(report.committed), 'archive')} committed")
        return report.exit_code

    async def _list(self, number: int) -> ExitCode:
        step(number, "async-backup list DEST: what is on the server, by names and the last bytes of each archive")
        async with open_archives(self._settings.destinations[0], self._settings.ssh, Limits()) as store:
            listing = await list_archives(store, NameParser())
        for line in listing_lines(listing, str(self._settings.destinations[0])):
            indented(line)
        return ExitCode.COMPLETE

    async def _restore(self, number: int) -> ExitCode:
        source = self._committed.entry.source
        name = await to_thread.run_sync(_some_file, source, self._entry)
        command = f"async-backup restore DEST {shown(self._entry)} {shown(name)} --to DIR"
        step(number, f"{command}: one file, and only its segment travels")
        target = self._work / "one-file"
        printer = RestorePrinter(target, indented, indented, NORMAL)
        entry = self._committed.entry.name
        settings = RestoreSettings(
            self._settings.destinations[0], entry, target, (os.fsencode(name),), self._settings.ssh
        )
        report = await restore(settings, printer, stop=self._stop)
        if report.exit_code:
            return report.exit_code
        return await to_thread.run_sync(_compared, source / name, target / name)

    async def _verify(self, number: int) -> ExitCode:
        step(number, "async-backup verify DEST: the server computes all digests again, and no archive travels")
        settings = VerifySettings(self._settings.destinations[0], ssh=self._settings.ssh)
        return (await verify(settings, VerifyPrinter(indented, indented, NORMAL), stop=self._stop)).exit_code

    async def _prune(self, number: int) -> ExitCode:
        step(number, "async-backup prune DEST --keep-last 1: of each entry only the newest archive stays")
        printer = PrunePrinter(indented, indented, NORMAL, dry_run=False)
        async with open_archives(self._settings.destinations[0], self._settings.ssh, Limits()) as store:
            report = await prune(store, PruneSettings(KeepRules(last=1)), printer, stop=self._stop)
        return report.exit_code

    async def _extract(self, number: int) -> ExitCode:
        return await to_thread.run_sync(self._extract_plainly, number)

    def _extract_plainly(self, number: int) -> ExitCode:
        archive = self._server / os.fsdecode(self._committed.entry.archive)
        target = self._work / "restored"
        extract(archive, target)
        members = counted(self._committed.members, "member")
        step(number, f"{shown(archive.name)} extracted by a plain tar reader, without this program: {members}")
        return _compared(self._committed.entry.source / self._entry, target / self._entry)


def _compared(one: Path, other: Path) -> ExitCode:
    different = differences(one, other)
    indented(f"it differs: {', '.join(map(shown, different))}" if different else "all the same as in the source")
    return ExitCode.INCOMPLETE if different else ExitCode.COMPLETE


def _some_file(source: Path, entry: str) -> Path:
    """The path below `source` of a regular file of the entry; that of the entry itself where there is none."""
    files = sorted(path for path in (source / entry).rglob("*") if path.is_file() and not path.is_symlink())
    return (files[-1] if files else source / entry).relative_to(source)
