"""Files about a run, written whole at its end: metrics for Prometheus, a page for people."""

from __future__ import annotations

import os
import stat
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from async_backup.errors import Locked, SettingsError
from async_backup.events import RunEnded
from async_backup.replacing import written_beside
from async_backup.text import shown
from async_backup.ui.run_record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backup.errors import BackupError
    from async_backup.events import Event


class RunFile(ABC):
    """A listener that remembers a run and writes a file about it at the end, whatever the end is.

    Made before anything is sent: raises SettingsError where the file can never be written. What goes wrong at the end
    is told to `warn`: the backup is not worse for it. `noun` is what the file is called in messages.
    """

    noun = "file"

    def __init__(self, path: Path, *, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._path = writable(path, self.noun)
        self._warn = warn
        self._record = RunRecord(clock)

    def __call__(self, event: Event) -> None:
        self._record.add(event)
        self.collect(event)
        if isinstance(event, RunEnded):
            self._write()

    def failed(self, error: BackupError) -> None:
        """The run ended with this error. One that found another run under way leaves the file to that one."""
        if isinstance(error, Locked):
            return
        self._record.error = error
        self._write()

    @abstractmethod
    def collect(self, event: Event) -> None:
        """Remember what the record does not."""

    @abstractmethod
    def content(self) -> bytes:
        """The whole file, about the run as it ended."""

    def _write(self) -> None:
        content = self.content()
        try:
            write_whole(self._path, content)
        except OSError as error:
            self._warn(f"warning: the {self.noun} {shown(self._path)} was not written: {error.strerror or error}")


def writable(path: Path, noun: str) -> Path:
    """The file itself, behind any symbolic links; raises SettingsError where none can be written there."""
    try:
        target = Path(os.path.realpath(path))
        with suppress(FileNotFoundError, NotADirectoryError):
            if not stat.S_ISREG(target.stat().st_mode):
                raise SettingsError(f"the {noun} {str(path)!r} is a directory or a device; name a file")
    except (OSError, ValueError) as error:
        raise SettingsError(f"the {noun} {str(path)!r} cannot be written: {error}") from error
    if not target.parent.is_dir():
        raise SettingsError(f"the {noun} {str(path)!r} cannot be written: there is no directory {target.parent}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise SettingsError(f"the {noun} {str(path)!r} cannot be written: {target.parent} is not writable")
    return target


def write_whole(path: Path, content: bytes) -> None:
    """Put the content into the place of the file in one step: readers see the old or the new one, never half.

    It has the mode of the old one, or that which a new file gets. Raises OSError; the old file is untouched then.
    """
    with written_beside(path) as file:
        os.fchmod(file.fileno(), _mode(path))
        file.write(content)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask
