"""A run with all that goes along with it: hooks before, during and after, and a monitor that is told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

from anyio import CancelScope, create_task_group, current_time, get_cancelled_exc_class

from async_backup.errors import BackupError, ExitCode
from async_backup.events import EntryEnded, RunEnded
from async_backup.hooks.command import run_command
from async_backup.hooks.context import Surroundings, environment_of, exit_code
from async_backup.hooks.entries import EntryQueue
from async_backup.hooks.model import HookError, HookFailed, HookSaid, HookSettings, RunDue
from async_backup.hooks.ping import Pinger
from async_backup.stopping import unless_stopped
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from anyio import Event as Flag

    from async_backup.events import Event, Listener
    from async_backup.hooks.context import Subject
    from async_backup.hooks.model import Hook, HookListener
    from async_backup.hooks.ping import PingUrl

_STOP_WITHIN = 1.5
"""Seconds for all that is still to be told once the run was asked to stop."""

_ENTRIES_SHARE = 0.5
"""Seconds of these for the hooks of entries."""


@dataclass(frozen=True, slots=True)
class Attendance:
    """What goes along with a run; `describe` writes an event, or an error that ended the run, as a line of JSON."""

    around: Surroundings
    describe: Callable[[object], str]
    hooks: HookSettings = field(default_factory=HookSettings)
    ping: PingUrl | None = None


@asynccontextmanager
async def attended(attendance: Attendance, listener: Listener, stop: Flag) -> AsyncIterator[Listener]:
    """Yields the listener for a run inside this block; `listener` gets its events, and each HookEvent as well.

    Raises HookError where the hook `before` fails; then the block is not entered. Nothing else that hooks or the
    monitor do changes how the run ends. Whatever exception leaves the block, `on_failure` and `after` still run, and
    the monitor is told. Once `stop` is set all that ends within seconds.
    """
    attendant = _Attendant(attendance, cast("HookListener", listener), stop)
    async with task_group() as tasks:
        tasks.start_soon(attendant.work)
        try:
            await unless_stopped(stop, attendant.before)
            yield attendant.hear
        except Exception as error:
            await attendant.end(_expected(error))
            raise
        await attendant.end(attendant.ending)
        tasks.cancel_scope.cancel()


def _expected(error: Exception) -> BackupError:
    """A bug ends a run as well, and that is when somebody has to be told."""
    return error if isinstance(error, BackupError) else BackupError(f"{type(error).__name__}: {error}")


class _Attendant:
    def __init__(self, attendance: Attendance, listener: HookListener, stop: Flag) -> None:
        self._attendance = attendance
        self._hooks = attendance.hooks
        self._listener = listener
        self._stop = stop
        self._pinger = Pinger(attendance.ping, listener) if attendance.ping else None
        after_entry = self._hooks.after_entry
        self._entries = EntryQueue(partial(self._reported, "after_entry", after_entry)) if after_entry else None
        self.ending: RunEnded | BackupError = BackupError("the run ended without a report")

    def hear(self, event: Event) -> None:
        """Pass an event on, and keep what the hooks need."""
        self._listener(event)
        match event:
            case EntryEnded() if self._entries:
                self._entries.put(event)
            case RunEnded():
                self.ending = event
            case _:
                pass

    async def work(self) -> None:
        """What goes on beside the run."""
        async with create_task_group() as tasks:
            if self._pinger:
                tasks.start_soon(self._pinger.start)
            if self._entries:
                tasks.start_soon(self._entries.work)

    async def before(self) -> None:
        """Raises HookError where the run must not begin."""
        hook = self._hooks.before
        if hook is None:
            return
        around = self._attendance.around
        try:
            await self._run("before", hook, RunDue(around.profile, around.destinations))
        except HookError as error:
            raise HookError(f"the hook before the run failed, so nothing was backed up: {error}") from error

    async def end(self, ending: RunEnded | BackupError) -> None:
        """All that follows a run, in the time that there is."""
        with CancelScope() as scope:
            async with create_task_group() as tasks:
                tasks.start_soon(self._hurry, scope)
                async with create_task_group() as messages:
                    if self._pinger:
                        messages.start_soon(self._tell, self._pinger, ending)
                    await self._run_last_hooks(ending)
                tasks.cancel_scope.cancel()

    async def _hurry(self, scope: CancelScope) -> None:
        await self._stop.wait()
        scope.deadline = current_time() + _STOP_WITHIN

    async def _tell(self, pinger: Pinger, ending: RunEnded | BackupError) -> None:
        summary = self._attendance.around.summarize(ending.report if isinstance(ending, RunEnded) else ending)
        is_success = exit_code(ending) is ExitCode.COMPLETE
        if self._stop.is_set():
            await pinger.end(summary, is_success=is_success, start_grace=0)
        else:
            await pinger.end(summary, is_success=is_success)

    async def _run_last_hooks(self, ending: RunEnded | BackupError) -> None:
        if self._entries and self._hooks.after_entry:
            within = _ENTRIES_SHARE if self._stop.is_set() else self._hooks.after_entry.timeout
            left_out = await self._entries.drained(within)
            if left_out:
                self._listener(HookFailed("after_entry", f"it was not run for {left_out} entries: it is too slow"))
        if exit_code(ending) is not ExitCode.COMPLETE:
            try:
                await self._reported("on_failure", self._hooks.on_failure, ending)
            except get_cancelled_exc_class():
                self._no_time("after", self._hooks.after)
                raise
        await self._reported("after", self._hooks.after, ending)

    def _no_time(self, name: str, hook: Hook | None) -> None:
        if hook is not None:
            self._listener(HookFailed(name, "there was no time left for it"))

    async def _reported(self, name: str, hook: Hook | None, subject: Subject) -> None:
        """Run a hook whose failure is only told."""
        if hook is None:
            return
        try:
            await self._run(name, hook, subject)
        except HookError as error:
            self._listener(HookFailed(name, str(error)))
        except get_cancelled_exc_class():
            self._no_time(name, hook)
            raise

    async def _run(self, name: str, hook: Hook, subject: Subject) -> None:
        await run_command(
            hook,
            environment=environment_of(name, subject, self._attendance.around),
            content=self._attendance.describe(subject).encode() + b"\n",
            say=lambda line: self._listener(HookSaid(name, line)),
        )
