"""`restore --dry-run`: what would be restored."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import typer
from anyio import to_thread

from async_backup.archive_names import NameParser
from async_backup.catalog import groups_of, read_catalog
from async_backup.cli.output import complain, say_result
from async_backup.cli.reading import Where, read_until_stopped, say_all
from async_backup.errors import SERVER_GONE, BackupError, ExitCode, NotInArchive
from async_backup.restoring.everything import settings_of
from async_backup.restoring.foreseen import foresee
from async_backup.restoring.source_directories import check_directory
from async_backup.tasks import side_by_side
from async_backup.ui.foreseen import ForeseenLines
from async_backup.ui.json_lines import JsonPrinter, error_line
from async_backup.ui.lines import QUIET
from async_backup.ui.restoring import RestorePrinter, named

if TYPE_CHECKING:
    from collections.abc import Collection

    from anyio import Event

    from async_backup.catalog import StoredArchive
    from async_backup.remote.store import SftpStore
    from async_backup.restoring.foreseen import Foreseen
    from async_backup.restoring.model import RestoreSettings, Which


def show_foreseen(settings: RestoreSettings, which: Which | None, *, as_json: bool, verbosity: int) -> NoReturn:
    """Print it and exit: of the archive that the settings name, or of the newest of the entries in `which`."""

    async def look(store: SftpStore, stop: Event) -> ExitCode:
        async def show(foreseen: Foreseen) -> ExitCode:
            told = ForeseenLines(foreseen, JsonPrinter(say_result) if as_json else _printer(settings, verbosity))
            lines = told.json_lines() if as_json else told.lines() if verbosity > QUIET else told.trouble()
            await to_thread.run_sync(say_all, lines, stop, abandon_on_cancel=True)
            return ExitCode.INCOMPLETE if told.lost else ExitCode.COMPLETE

        catalog = await read_catalog(store, NameParser(settings.timestamp_formats))
        if which is None:
            return await show(await foresee(store, catalog.find(settings.archive), settings))
        archives = catalog.newest_of(*which)
        all_of_them = _All(store, settings, {archive.entry for archive in archives}, as_json=as_json)
        for some in groups_of(archives):
            for foreseen in await side_by_side(all_of_them.foresee, some, at_once=len(some)):
                if foreseen:
                    all_of_them.add(await show(foreseen))
        return all_of_them.exit_code()

    where = Where(settings.destination, settings.ssh, settings.limits)
    raise typer.Exit(read_until_stopped(where, look, as_json=as_json))


def _printer(settings: RestoreSettings, verbosity: int) -> RestorePrinter:
    return RestorePrinter(settings.target, say_result, complain, verbosity)


class _All:
    """The archives of a destination, of which one that cannot be restored is told of and costs no other."""

    def __init__(
        self, store: SftpStore, settings: RestoreSettings, entries: Collection[bytes], *, as_json: bool
    ) -> None:
        self._store = store
        self._settings = settings
        self._entries = entries
        self._as_json = as_json
        self._failed = self._foreseen = self._lacking = 0

    async def foresee(self, archive: StoredArchive) -> Foreseen | None:
        directory, settings = os.path.dirname(archive.path), settings_of(archive, self._settings)
        try:
            if directory:
                check_directory(settings.target, directory, self._entries)
            foreseen = await foresee(self._store, archive, settings)
        except NotInArchive:
            return None  # no pattern matches
        except SERVER_GONE:
            raise
        except BackupError as error:
            self._tell(archive, error)
            self._failed += 1
            return None
        self._foreseen += 1
        return foreseen._replace(directory=directory)

    def add(self, outcome: ExitCode) -> None:
        """Count the outcome of one that was shown."""
        self._lacking += outcome != ExitCode.COMPLETE

    def _tell(self, archive: StoredArchive, error: BackupError) -> None:
        if self._as_json:
            say_result(error_line(error, archive=archive.path))
        complain(f"error: {named(archive.path, error)}")

    def exit_code(self) -> ExitCode:
        """Raises NotInArchive where there is nothing to restore."""
        if not self._foreseen and not self._failed:
            raise self._settings.wish.leaves_nothing("these archives")
        if self._failed or self._lacking:
            return ExitCode.INCOMPLETE if self._foreseen else ExitCode.NOTHING_DONE
        return ExitCode.COMPLETE
