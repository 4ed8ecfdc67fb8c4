"""Which destinations a command is about: those on its command line, or those of its profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer

from async_backup.cli.output import say
from async_backup.cli.profile import chosen
from async_backup.errors import ExitCode, SettingsError
from async_backup.text import shown
from async_backup.ui.json_lines import json_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WORST_LAST = (
    ExitCode.COMPLETE,
    ExitCode.INCOMPLETE,
    ExitCode.LOCKED,
    ExitCode.USAGE,
    ExitCode.NOTHING_DONE,
    ExitCode.INTERRUPTED,
)


def places(
    ctx: typer.Context, first: str | None, rest: Sequence[str | None], to: list[str] | None = None
) -> tuple[list[str], list[str]]:
    """The destinations and, without them, the arguments.

    The first argument is the destination, unless others were asked for by `--to` or a profile; and even then if it
    looks like one, which no entry's name does. Raises SettingsError where there is no destination.
    """
    words = [word for word in (first, *rest) if word is not None]
    to = to or chosen(ctx).destinations
    is_first = bool(words) and (":/" in words[0] or words[0] in to or not _are_asked_for(ctx, to))
    if is_first:
        return [words[0]], words[1:]
    if not to:
        raise SettingsError(
            "no destination was given: name one as the first argument, or a profile that has `to` with --profile"
        )
    return to, words


def archive_in(words: list[str]) -> tuple[str, list[str]]:
    """ARCHIVE and the PATHs after it; raises SettingsError where there is none."""
    if not words:
        raise SettingsError("no archive was given: name an archive or an entry after the destination")
    return words[0], words[1:]


def _are_asked_for(ctx: typer.Context, to: list[str]) -> bool:
    """Whether other destinations than the first argument are meant: not if they are but defaults for every command."""
    source = ctx.get_parameter_source("to")
    is_given = source is not None and source.name in {"COMMANDLINE", "ENVIRONMENT"} and ctx.params.get("to") == to
    return bool(to) and (is_given or chosen(ctx).name is not None)


def at_each(destinations: Sequence[str], job: Callable[[int], int], *, as_json: bool) -> NoReturn:
    """Run `job` with the number of each destination, in turn, and exit with the worst of its codes.

    A job that exits by itself does not hold the others; one that was interrupted is the last.
    """
    worst = ExitCode.COMPLETE
    for number, destination in enumerate(destinations):
        if len(destinations) > 1:
            say(
                json_line({"event": "destination", "destination": destination}) if as_json else f"{shown(destination)}:"
            )
        code = _code_of(job, number)
        worst = max(worst, code, key=_WORST_LAST.index)
        if code == ExitCode.INTERRUPTED:
            break
    raise typer.Exit(worst)


def _code_of(job: Callable[[int], int], number: int) -> ExitCode:
    try:
        return ExitCode(job(number))
    except typer.Exit as end:
        return ExitCode(end.exit_code)
