"""Configuring `logging`: where records go, which, and how they look."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from async_backup.cli.output import complain
from async_backup.remote.naming import RunId
from async_backup.ui.lines import NORMAL, QUIET
from async_backup.ui.logs import LOGGER, LogFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARY = logging.getLogger("asyncssh")
_NOTHING = logging.CRITICAL + 1


class _StandardError(logging.Handler):
    """Unlike a StreamHandler it goes on when nobody reads standard error any more."""

    def emit(self, record: logging.LogRecord) -> None:
        complain(self.format(record))


@contextmanager
def logging_to_standard_error(verbosity: int) -> Iterator[None]:
    """Inside the block, records of ours appear on standard error; those of asyncssh only where much is wanted."""
    handler = _StandardError()
    handler.setFormatter(LogFormat(str(RunId.of_this_process()), for_journal=_is_journal()))
    ours = logging.WARNING if verbosity <= QUIET else logging.INFO if verbosity == NORMAL else logging.DEBUG
    before = [(logger, logger.level, logger.propagate) for logger in (LOGGER, _LIBRARY)]
    for logger, level in ((LOGGER, ours), (_LIBRARY, logging.WARNING if verbosity > NORMAL else _NOTHING)):
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _is_journal() -> bool:
    """Whether standard error is the journal's: `$JOURNAL_STREAM` holds its device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
