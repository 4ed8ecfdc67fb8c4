"""`async-backup demo`: the whole job with nothing to set up, told step by step."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from anyio import to_thread

from async_backup.backing_up import backup
from async_backup.cli.demo_after import AfterTheBackup, indented, step
from async_backup.cli.execute import run_until_stopped
from async_backup.cli.output import say
from async_backup.config import Settings
from async_backup.demo.sample import make_sample
from async_backup.demo.server import demo_server
from async_backup.errors import DigestMismatch, ExitCode
from async_backup.events import AttemptFailed
from async_backup.scan import resolve_sources
from async_backup.text import shown
from async_backup.ui.plain import PlainPrinter

if TYPE_CHECKING:
    from anyio import Event

    from async_backup.events import Event as BackupEvent
    from async_backup.model import Report


def demo(
    source: Annotated[
        Path | None,
        typer.Argument(help="A directory to back up instead of a small sample.", show_default="a sample"),
    ] = None,
) -> None:
    """Show the whole job on an SSH server of its own: back up, spoil an archive, list, restore, verify, prune."""
    with tempfile.TemporaryDirectory(prefix="async-backup-demo-") as directory:
        raise typer.Exit(run_until_stopped(_Demo(Path(directory), source).play))


class _Demo:
    """One showing, in a directory that is removed afterwards."""

    def __init__(self, work: Path, source: Path | None) -> None:
        self._work = work
        self._source = source or work / "sample"
        self._server = work / "server"
        self._is_spoiled = False
        self._mismatches = 0

    async def play(self, stop: Event) -> ExitCode:
        await to_thread.run_sync(self._prepare)
        async with demo_server(self._server, self._work / "keys", corrupt=self._spoil_once) as server:
            step(2, f"an SSH server on 127.0.0.1 port {server.port}, with keys made for this showing")
            settings = Settings((self._source,), (server.destination(),), server.ssh())
            step(
                3, "async-backup run SOURCE --to DEST; the first archive that arrives is spoiled on purpose, by one bit"
            )
            report = await backup(settings, _Counting(self), stop=stop)
            if report.exit_code is not ExitCode.COMPLETE or not report.committed:
                return report.exit_code
            return await self._go_on(settings, report, stop)

    async def _go_on(self, settings: Settings, report: Report, stop: Event) -> ExitCode:
        if self._mismatches != 1:
            indented(f"the spoiled archive was found {self._mismatches} times, not once")
            return ExitCode.INCOMPLETE
        step(4, "the mismatch was found: that copy was deleted, and the archive made again")
        smallest = min(report.committed, key=lambda outcome: outcome.raw_size)
        after = AfterTheBackup(settings, smallest, self._work, self._server, stop)
        code = await after.show(5, again=self._source == self._work / "sample")
        if code is ExitCode.COMPLETE:
            say("\nNow your own: async-backup run SOURCE --to user@host:/directory")
        return code

    def _prepare(self) -> None:
        if self._source != self._work / "sample":
            resolve_sources((self._source,))
        for directory in (self._server, self._work / "keys"):
            directory.mkdir()
        if self._source == self._work / "sample":
            make_sample(self._source)
        step(1, f"the source {shown(self._source)}: each entry in it becomes one archive")

    def _spoil_once(self, path: bytes) -> bool:
        """The first archive that is written, and no other file."""
        is_archive = b".tar.gz." in os.path.basename(path) and not os.path.basename(path).startswith(b".probe")
        chosen = is_archive and not self._is_spoiled
        self._is_spoiled |= chosen
        return chosen

    def note_mismatch(self) -> None:
        self._mismatches += 1


class _Counting(PlainPrinter):
    """Plain lines, indented under their step."""

    def __init__(self, demo: _Demo) -> None:
        super().__init__(indented, indented)
        self._demo = demo

    def __call__(self, event: BackupEvent) -> None:
        if isinstance(event, AttemptFailed) and isinstance(event.error, DigestMismatch):
            self._demo.note_mismatch()
        super().__call__(event)
