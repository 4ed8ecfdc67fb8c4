"""An examination as a checklist: a line for each step as it ends, what it means and what to do below it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.text import Text

from async_backup.doctor.model import DoctorEnded, Finding, State, Step, StepStarted
from async_backup.errors import ExitCode
from async_backup.text import counted, duration, shown
from async_backup.ui.display import Display
from async_backup.ui.lines import NORMAL, Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType

    from async_backup.doctor.model import DoctorEvent, DoctorReport

_STATE = max(map(len, State)) + 1
_STEP = max(map(len, Step)) + 2
_INDENT = " " * (_STATE + _STEP)
_COMMAND_INDENT = " " * _STATE
_NARROWEST, _WIDEST = 60, 110
_STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red", State.SKIPPED: "dim"}


class DoctorPrinter(Lines):
    """A listener that prints the checklist, wrapped to `width`; of a quiet one only trouble, to `err`."""

    def __init__(
        self, out: Callable[[str], None], err: Callable[[str], None], verbosity: int, *, width: int = 100
    ) -> None:
        super().__init__(out, err, verbosity)
        self._trouble = out if verbosity >= NORMAL else err
        self._width = min(max(width, _NARROWEST), _WIDEST)

    def __call__(self, event: DoctorEvent) -> None:
        match event:
            case Finding():
                is_trouble = event.state in {State.WARNING, State.FAILED}
                say = self._trouble if is_trouble else self._out
                for line in _finding_lines(event, self._width):
                    say(line)
            case DoctorEnded(report):
                say = self._trouble if report.exit_code != ExitCode.COMPLETE else self._out
                say("")
                for line in _wrapped(_verdict(report), self._width, ""):
                    say(line)
            case StepStarted():
                pass


def _finding_lines(finding: Finding, width: int) -> Iterator[str]:
    head = f"{finding.state:<{_STATE}}{finding.step:<{_STEP}}"
    found = _wrapped(finding.found, width, _INDENT) or [""]
    yield head + found[0].strip()
    yield from found[1:]
    yield from _wrapped(finding.meaning, width, _INDENT)
    advice, _, command = finding.advice.partition("\n")
    yield from _wrapped(f"-> {advice}" if advice else "", width, _INDENT)
    if command:
        yield f"{_COMMAND_INDENT}{shown(command)}"  # whole, so that it can be copied


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    hanging = indent + ("   " if text.startswith("-> ") else "")
    return textwrap.wrap(
        shown(text),
        width,
        initial_indent=indent,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _verdict(report: DoctorReport) -> str:
    counts = [counted(report.count(State.WARNING), "warning")] if report.count(State.WARNING) else []
    counts += [f"{report.count(State.SKIPPED)} skipped"] if report.count(State.SKIPPED) else []
    told = ", ".join([f"{report.count(State.OK)} ok", *counts, duration(report.seconds)])
    failures = ", ".join(finding.step for finding in report.findings if finding.state is State.FAILED)
    match report.exit_code:
        case ExitCode.INTERRUPTED:
            return f"interrupted ({told})"
        case ExitCode.NOTHING_DONE:
            return f"No backup is possible there; failed: {failures} ({told})."
        case ExitCode.INCOMPLETE:
            return f"Backups are possible, but something stands in the way; failed: {failures} ({told})."
    return f"Ready for backups ({told})."


class DoctorDisplay(Display["DoctorEvent"]):
    """The checklist on a terminal, in colour, with the step that is under way below it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._step = ""

    def print(self, line: str) -> None:
        """Print above what is under way; the word for the state of a step has a colour."""
        text = Text(line)
        word = line.partition(" ")[0]
        if word in list(State):
            text.stylize(_STYLES[State(word)], 0, len(word))
        self._console.print(text, soft_wrap=True)

    def show(self, event: DoctorEvent) -> None:
        match event:
            case StepStarted(step):
                self._step = step
                self.start()
            case DoctorEnded():
                self.stop()
            case Finding():
                pass

    def render(self) -> RenderableType:
        return Text(f"{'...':<{_STATE}}{self._step}", style="dim", no_wrap=True)
