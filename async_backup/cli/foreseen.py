"""`restore --dry-run`: what would be restored."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import typer
from anyio import to_thread

from async_backup.archive_names import NameParser
from async_backup.catalog import groups_of, read_catalog
from async_backup.cli.output import OutputLost, complain, say_result
from async_backup.cli.reading import Where, read_until_stopped, say_all
from async_backup.errors import SERVER_GONE, BackupError, ExitCode, NotInArchive, RestoreError
from async_backup.restoring.everything import settings_of
from async_backup.restoring.foreseen import check_wanted, foresee
from async_backup.restoring.source_directories import check_directory
from async_backup.tasks import side_by_side
from async_backup.text import counted
from async_backup.ui.foreseen import ForeseenLines
from async_backup.ui.json_lines import error_line
from async_backup.ui.lines import QUIET
from async_backup.ui.restoring import RestorePrinter, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio import Event

    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteStore
    from async_backup.remote.store import SftpStore
    from async_backup.restoring.foreseen import Foreseen
    from async_backup.restoring.model import RestoreSettings, Which


def show_foreseen(settings: RestoreSettings, which: Which | None, *, as_json: bool, verbosity: int) -> NoReturn:
    """Print it and exit: of the archive that the settings name, or of the newest of the entries in `which`."""

    async def look(store: SftpStore, stop: Event) -> ExitCode:
        show = _Show(settings, stop, as_json=as_json, verbosity=verbosity)
        catalog = await read_catalog(store, NameParser(settings.timestamp_formats))
        if which is not None:
            return await _All(store, settings, catalog.newest_of(*which), show).show()
        told = await show.one(await foresee(store, catalog.find(settings.archive), settings))
        return ExitCode.INCOMPLETE if told.lost else ExitCode.COMPLETE

    where = Where(settings.destination, settings.ssh, settings.limits)
    raise typer.Exit(read_until_stopped(where, look, as_json=as_json))


class _Show:
    """Prints of one archive after the other what it would bring."""

    def __init__(self, settings: RestoreSettings, stop: Event, *, as_json: bool, verbosity: int) -> None:
        self._target = settings.target
        self._stop = stop
        self._as_json = as_json
        self._verbosity = verbosity

    async def one(self, foreseen: Foreseen) -> ForeseenLines:
        """Raises DamagedArchive, RestoreError and OutputLost."""
        printer = RestorePrinter(self._target, say_result, complain, self._verbosity)
        told = ForeseenLines(foreseen, printer, self._stop.is_set)
        lines = told.json_lines() if self._as_json else told.lines(is_quiet=self._verbosity <= QUIET)
        await to_thread.run_sync(say_all, lines, self._stop, abandon_on_cancel=True)
        return told

    def error(self, archive: StoredArchive, error: BackupError) -> None:
        """Of one archive among others."""
        if self._as_json:
            say_result(error_line(error, archive=archive.path))
        complain(f"error: {named(archive.path, error)}")


class _All:
    """The archives of a destination, of which one that cannot be restored is told of and costs no other."""

    def __init__(
        self, store: RemoteStore, settings: RestoreSettings, archives: Sequence[StoredArchive], show: _Show
    ) -> None:
        self._store = store
        self._settings = settings
        self._archives = archives
        self._entries = {archive.entry for archive in archives}
        self._show = show
        self._coming = self._lacking = self._unwanted = 0

    async def show(self) -> ExitCode:
        """Raises NotInArchive where nothing of any archive is wanted; returns what a restore would."""
        for some in groups_of(self._archives):
            for archive, found in zip(some, await side_by_side(self._foresee, some, at_once=len(some)), strict=True):
                await self._show_one(archive, found)
        if self._unwanted == len(self._archives):
            raise self._settings.wish.leaves_nothing(counted(len(self._archives), "archive"))
        if not self._lacking:
            return ExitCode.COMPLETE
        return ExitCode.INCOMPLETE if self._coming else ExitCode.NOTHING_DONE

    async def _foresee(self, archive: StoredArchive) -> Foreseen | BackupError:
        directory, settings = os.path.dirname(archive.path), settings_of(archive, self._settings)
        try:
            await self._check_directory(archive, directory, settings)
            return (await foresee(self._store, archive, settings))._replace(directory=directory)
        except SERVER_GONE:
            raise
        except BackupError as error:
            return error

    async def _check_directory(self, archive: StoredArchive, directory: bytes, settings: RestoreSettings) -> None:
        try:
            if directory:
                check_directory(settings.target, directory, self._entries)
        except RestoreError:
            await check_wanted(self._store, archive, settings)
            raise

    async def _show_one(self, archive: StoredArchive, found: Foreseen | BackupError) -> None:
        try:
            if isinstance(found, BackupError):
                raise found
            told = await self._show.one(found)
        except NotInArchive:
            self._unwanted += 1  # since there are no paths that could be missing
        except OutputLost:
            raise
        except BackupError as error:
            self._lacking += 1
            self._show.error(archive, error)
        else:
            self._coming += told.coming
            self._lacking += told.lost > 0
