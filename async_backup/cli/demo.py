"""`async-backup demo`: the whole job with nothing to set up, told step by step."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from anyio import to_thread

from async_backup.backup import backup
from async_backup.cli.execute import run_until_stopped
from async_backup.cli.output import say
from async_backup.config import Settings
from async_backup.demo.sample import differences, extract, make_sample
from async_backup.demo.server import demo_server
from async_backup.errors import DigestMismatch, ExitCode
from async_backup.events import AttemptFailed
from async_backup.scan import resolve_sources
from async_backup.ui.plain import PlainPrinter
from async_backup.ui.text import counted, shown, size

if TYPE_CHECKING:
    from anyio import Event

    from async_backup.events import Event as BackupEvent
    from async_backup.model import Committed, Report


def demo(
    source: Annotated[
        Path | None,
        typer.Argument(help="A directory to back up instead of a small sample.", show_default="a sample"),
    ] = None,
) -> None:
    """Show the whole job on an SSH server of its own: back up, verify, spoil an archive on purpose, restore."""
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
            _step(2, f"an SSH server on 127.0.0.1 port {server.port}, with keys made for this showing")
            settings = Settings((self._source,), server.destination(), server.ssh())
            _step(3, "back up; the first archive that arrives is spoiled on purpose, by one bit")
            report = await backup(settings, self._listener(str(settings.destination)), stop=stop)
        if report.exit_code is not ExitCode.COMPLETE or not report.committed:
            return report.exit_code
        return await to_thread.run_sync(self._look_back, report)

    def _prepare(self) -> None:
        if self._source != self._work / "sample":
            resolve_sources((self._source,))
        for directory in (self._server, self._work / "keys"):
            directory.mkdir()
        if self._source == self._work / "sample":
            make_sample(self._source)
        _step(1, f"the source {shown(self._source)}: each entry in it becomes one archive")

    def _spoil_once(self, path: bytes) -> bool:
        """The first archive that is written, and no other file."""
        is_archive = b".tar.gz." in os.path.basename(path) and not os.path.basename(path).startswith(b".probe")
        chosen = is_archive and not self._is_spoiled
        self._is_spoiled |= chosen
        return chosen

    def _listener(self, destination: str) -> PlainPrinter:
        return _Counting(self, destination)

    def note_mismatch(self) -> None:
        self._mismatches += 1

    def _look_back(self, report: Report) -> ExitCode:
        if self._mismatches != 1:
            say(f"    the spoiled archive was found {self._mismatches} times, not once")
            return ExitCode.INCOMPLETE
        _step(4, "the mismatch was found: that copy was deleted, and the archive made again")
        _step(5, "what is on the server now: archives that tar can open, and a checksum beside each")
        for path in sorted(self._server.iterdir()):
            say(f"    {shown(path.name)}  {size(path.stat().st_size)}")
        return self._restore(min(report.committed, key=lambda outcome: outcome.raw_size))

    def _restore(self, outcome: Committed) -> ExitCode:
        archive = self._server / os.fsdecode(outcome.entry.archive)
        restored = self._work / "restored"
        extract(archive, restored)
        name = os.fsdecode(outcome.entry.name)
        different = differences(self._source / name, restored / name)
        if different:
            say(f"    it differs: {', '.join(shown(path) for path in different)}")
            return ExitCode.INCOMPLETE
        members = counted(outcome.members, "member")
        _step(6, f"{shown(archive.name)} extracted by a plain tar reader: {members}, all the same")
        say("\nNow your own: async-backup run SOURCE --to user@host:/directory")
        return ExitCode.COMPLETE


class _Counting(PlainPrinter):
    """Plain lines, indented under their step."""

    def __init__(self, demo: _Demo, destination: str) -> None:
        super().__init__(destination, _indented, _indented)
        self._demo = demo

    def __call__(self, event: BackupEvent) -> None:
        if isinstance(event, AttemptFailed) and isinstance(event.error, DigestMismatch):
            self._demo.note_mismatch()
        super().__call__(event)


def _indented(line: str) -> None:
    say(f"    {line}")


def _step(number: int, text: str) -> None:
    say(f"{number}. {text}")
