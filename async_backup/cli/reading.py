"""What commands share that look into a destination."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import typer

from async_backup.cli.connecting import destination_of, ssh_settings
from async_backup.cli.execute import run_until_stopped
from async_backup.cli.output import say_result
from async_backup.config import Limits
from async_backup.errors import ExitCode
from async_backup.remote.store import open_archives
from async_backup.stopping import unless_stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from anyio import Event

    from async_backup.config import Destination, SshSettings
    from async_backup.remote.store import SftpStore

_T = TypeVar("_T")

_LINES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Where:
    """A destination and how to reach it."""

    destination: Destination
    ssh: SshSettings
    limits: Limits


def where_of(
    dest: str,
    port: int | None,
    keys: Sequence[Path] | None,
    known_hosts: Path | None,
    ssh_config: Path | None,
    timeout: float,
    retries: int,
) -> Where:
    """From the options that these commands share; raises SettingsError."""
    ssh = ssh_settings(keys, known_hosts, ssh_config, timeout)
    return Where(destination_of(dest, port), ssh, Limits(retries=retries))


def say_all(lines: Iterator[str], stop: Event) -> None:
    """Print some lines at once, in a thread: whoever reads them may be slow."""
    while not stop.is_set() and (some := list(islice(lines, _LINES_AT_ONCE))):
        say_result("\n".join(some))


def read_until_stopped(where: Where, work: Callable[[SftpStore, Event], Awaitable[_T]], *, as_json: bool) -> _T:
    """What `work` returns; a signal cancels it and ends the command, a BackupError becomes its exit code."""

    async def read(stop: Event) -> tuple[_T] | None:
        async def opened() -> tuple[_T]:
            async with open_archives(where.destination, where.ssh, where.limits) as store:
                return (await work(store, stop),)

        return await unless_stopped(stop, opened)

    result = run_until_stopped(read, as_json=as_json)
    if result is None:
        raise typer.Exit(ExitCode.INTERRUPTED)
    return result[0]
