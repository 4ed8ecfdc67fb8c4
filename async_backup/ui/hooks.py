"""What hooks write and what goes wrong with them, as lines beside those of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, assert_never

from async_backup.hooks.model import HookEvent, HookFailed, HookSaid, PingFailed
from async_backup.text import shown
from async_backup.ui.lines import NORMAL

if TYPE_CHECKING:
    from collections.abc import Callable

_Event = TypeVar("_Event")


def hook_line(event: HookEvent) -> str:
    """The event in one line, safe to print."""
    match event:
        case HookSaid(hook, line):
            return f"hook {hook}: {shown(line)}"
        case HookFailed(hook, reason):
            return f"warning: the hook {hook} failed: {shown(reason)}"
        case PingFailed(url, kind, reason):
            return f"warning: {url} could not be told of the {kind}: {shown(reason)}"
        case _:
            assert_never(event)


def with_hooks(
    printer: Callable[[_Event], None], err: Callable[[str], None], verbosity: int
) -> Callable[[_Event | HookEvent], None]:
    """A listener that prints the events of hooks to `err`, and leaves the others to `printer`."""

    def listen(event: _Event | HookEvent) -> None:
        match event:
            case HookSaid() if verbosity < NORMAL:
                pass
            case HookSaid() | HookFailed() | PingFailed():
                err(hook_line(event))
            case _:
                printer(event)

    return listen
