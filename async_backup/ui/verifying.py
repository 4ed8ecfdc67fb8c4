"""A verification in plain lines, and on a terminal with a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from async_backup.remote.base import READBACK
from async_backup.text import counted, duration, one_line, shown, size
from async_backup.ui.columns import Amount, Speed
from async_backup.ui.display import ProgressDisplay
from async_backup.ui.lines import Lines
from async_backup.verifying.model import (
    ArchiveChecked,
    BytesVerified,
    ChecksumAlone,
    ChecksumWritten,
    MethodFound,
    Verdict,
    VerifyEnded,
    VerifyStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from async_backup.verifying.model import Finding, VerifyEvent, VerifyReport

_WORDS = {
    Verdict.WHOLE: "note",
    Verdict.PASSED_OVER: "passed over",
    Verdict.UNVERIFIED: "NOT VERIFIED",
    Verdict.DAMAGED: "DAMAGED",
}


class VerifyPrinter(Lines):
    """A listener that prints lines: news to `out`, trouble to `err`. `deep` is what the verification was told."""

    def __init__(
        self, out: Callable[[str], None], err: Callable[[str], None], verbosity: int, *, deep: bool = False
    ) -> None:
        self._deep = deep
        super().__init__(out, err, verbosity)

    def __call__(self, event: VerifyEvent) -> None:
        match event:
            case MethodFound():
                self._method(event)
            case ArchiveChecked():
                self._checked(event)
            case ChecksumWritten(path):
                self._out(f"written: {shown(path)}")
            case ChecksumAlone(path):
                self._out(f"note: {shown(path)}: the archive of this checksum file is gone")
            case VerifyEnded(report):
                self._ended(report)
            case VerifyStarted() | BytesVerified():
                pass

    def _method(self, event: MethodFound) -> None:
        if event.computed_by == READBACK:
            because = f" ({shown(event.reason)})" if event.reason else ""
            self._out(f"verification: archives are read back from the server and hashed here{because}")
        else:
            self._detail(f"verification: {event.computed_by} on the server")

    def _checked(self, event: ArchiveChecked) -> None:
        name = shown(event.archive)
        if event.verdict is Verdict.WHOLE:
            digest = f"{event.algorithm} {event.digest}, " if event.digest else ""
            self._detail(f"ok: {name} ({digest}{size(event.size)})")
        for finding in event.findings:
            say = self._err if finding.verdict in {Verdict.UNVERIFIED, Verdict.DAMAGED} else self._out
            say(f"{_WORDS[finding.verdict]}: {name}: {_told(finding)}")
        if event.more_findings:
            self._err(f"{_WORDS[event.verdict]}: {name}: and {event.more_findings} more")
        if event.recorded and event.digest and event.recorded != event.digest:
            self._err(f"  recorded:      {event.recorded}")
            self._err(f"  on the server: {event.digest}")

    def _ended(self, report: VerifyReport) -> None:
        head = "interrupted: " if report.is_interrupted else ""
        number = f"{report.count(Verdict.WHOLE)} of {counted(report.archives, 'archive')}"
        self._out(f"{head}{number} verified ({', '.join(_how(report, deep=self._deep))})")
        if report.count(Verdict.PASSED_OVER):
            passed = counted(report.count(Verdict.PASSED_OVER), "archive")
            self._out(f"{passed} without a recorded checksum passed over: by their names they are not of this program")
        if report.error is not None:
            self._err(f"error: {one_line(report.error)}")
        for line in _trouble(report):
            self._err(line)


def _told(finding: Finding) -> str:
    text = shown(finding.reason)
    if finding.files:
        more = f" and {finding.more_files} more" if finding.more_files else ""
        text += f": {', '.join(shown(path) for path in finding.files)}{more}"
    return text


def _how(report: VerifyReport, *, deep: bool) -> Iterator[str]:
    yield size(report.size)
    for method in report.computed_by:
        if deep:
            yield "every segment read"
        else:
            yield "read back" if method == READBACK else f"{method} on the server"
    yield duration(report.seconds)


def _trouble(report: VerifyReport) -> Iterator[str]:
    damaged, unverified = report.count(Verdict.DAMAGED), report.count(Verdict.UNVERIFIED)
    if damaged:
        yield f"{counted(damaged, 'archive')} damaged (named above)"
    if unverified:
        yield f"{counted(unverified, 'archive')} could not be verified (named above)"
    if report.not_reached:
        yield f"{counted(report.not_reached, 'archive')} not looked at"


class VerifyBar(ProgressDisplay["VerifyEvent"]):
    """A bar, of bytes where archives are read back."""

    def __init__(self, console: Console, *, of_bytes: bool) -> None:
        self._of_bytes = of_bytes
        super().__init__(Progress(*_columns(of_bytes=of_bytes), console=console))
        self._task = self._progress.add_task("", total=None)

    def show(self, event: VerifyEvent) -> None:
        match event:
            case VerifyStarted(archives, stored):
                self._progress.update(self._task, total=stored if self._of_bytes else archives)
                self.start()
            case BytesVerified(stored):
                self._progress.advance(self._task, stored if self._of_bytes else 0)
            case ArchiveChecked():
                self._progress.advance(self._task, 0 if self._of_bytes else 1)
            case VerifyEnded():
                self.stop()
            case _:
                pass


def _columns(*, of_bytes: bool) -> tuple[ProgressColumn, ...]:
    label = TextColumn("verifying")
    if of_bytes:
        return label, BarColumn(), Amount(), Speed(), TimeElapsedColumn()
    return label, BarColumn(), MofNCompleteColumn(), TextColumn("archives"), TimeElapsedColumn()
