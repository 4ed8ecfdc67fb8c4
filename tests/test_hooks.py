"""Hooks: commands before, during and after a run; what they learn, and that none of them can harm the backup."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from anyio import Event, create_task_group, fail_after, sleep
from hypothesis import given
from hypothesis import strategies as st

from async_backup.errors import BackupError, ExitCode, SettingsError, Unreachable
from async_backup.events import EntryEnded, RunEnded
from async_backup.hooks import command, entries
from async_backup.hooks.attend import Attendance, attended
from async_backup.hooks.command import run_command
from async_backup.hooks.context import Surroundings, environment_of
from async_backup.hooks.model import Hook, HookError, HookFailed, HookSaid, HookSettings
from async_backup.model import Committed, Entry, Failed, Interrupted, Problems, Report
from async_backup.remote.base import StoredDigest
from async_backup.ui.hooks import hook_line, with_hooks
from async_backup.ui.json_lines import line_of
from async_backup.ui.lines import QUIET

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

ENTRY = Entry(Path("/data"), b"caf\xe9\n", b"data", b"caf\xe9\n-now.tar.gz")
COMMITTED = Committed(ENTRY, 1000, 5000, 3, "aa", StoredDigest("aa", "md5sum"), Problems(), 1, "me@nas:/b")
FAILED = Failed(ENTRY, Unreachable("nas: no route"), 1, "me@nas:/b")
AROUND = Surroundings(
    "run-1", "nightly", ("me@nas:/b",), dict(os.environb), lambda ending: f"summary of {ending!r}"[:40]
)


def shell(text: str, timeout: float = 60.0) -> Hook:
    return Hook(("/bin/sh", "-c", text), timeout)


async def said_by(hook: Hook, content: bytes = b"") -> list[str]:
    lines: list[str] = []
    with fail_after(60):
        await run_command(hook, environment=dict(os.environb), content=content, say=lines.append)
    return lines


async def refusal(hook: Hook) -> str:
    with pytest.raises(HookError) as caught:
        await said_by(hook)
    return str(caught.value)


class TestSettings:
    def test_a_string_is_for_the_shell_and_a_list_is_run_as_it_is(self) -> None:
        settings = HookSettings.parsed({"before": "a | b", "after": ["/bin/a", "b c"]})
        assert settings == HookSettings(before=Hook(("/bin/sh", "-c", "a | b")), after=Hook(("/bin/a", "b c")))

    def test_a_time_limit_holds_for_all_hooks_or_for_one(self) -> None:
        raw = {"timeout": 5, "before": {"command": "a", "timeout": "10m"}, "after_entry": {"command": ["b"]}}
        settings = HookSettings.parsed(raw)
        assert settings.before == Hook(("/bin/sh", "-c", "a"), 600.0)
        assert settings.after_entry == Hook(("b",), 5.0)

    @pytest.mark.parametrize(
        ("raw", "words"),
        [
            ({"after_entri": "x"}, "hooks has no setting 'after_entri'; did you mean after_entry?"),
            ({"xyz": "x"}, "there are before, after_entry, after, on_failure, timeout"),
            ({"before": {"comand": "x"}}, "hooks.before has no setting 'comand'; did you mean command?"),
            ({"before": {"timeout": 3}}, "hooks.before is a table without `command`"),
            ({"before": ""}, "hooks.before has to be a command"),
            ({"before": " "}, "hooks.before has to be a command"),
            ({"before": []}, "hooks.before has to be a command"),
            ({"before": [""]}, "hooks.before has to be a command"),
            ({"before": ["a", 1]}, "hooks.before has to be a command"),
            ({"before": ["a\0"]}, "zero byte"),
            ({"before": True}, "hooks.before has to be a command"),
            ({"timeout": 0}, "hooks.timeout has to be a length of time above 0"),
            ({"timeout": True}, "hooks.timeout"),
            ({"timeout": float("nan")}, "hooks.timeout"),
            ({"before": {"command": "x", "timeout": "soon"}}, "'soon' is not a length of time"),
        ],
    )
    def test_what_is_no_setting_is_refused_by_its_key(self, raw: dict[str, object], words: str) -> None:
        with pytest.raises(SettingsError) as caught:
            HookSettings.parsed(raw)
        assert words in str(caught.value)

    @given(st.dictionaries(st.sampled_from(["before", "timeout", "after", "x"]), st.from_type(object), max_size=3))
    def test_whatever_stands_there_is_settings_or_a_settings_error(self, raw: dict[str, object]) -> None:
        try:
            settings = HookSettings.parsed(raw)
        except SettingsError:
            return
        assert isinstance(settings, HookSettings)


class TestCommand:
    async def test_it_reads_its_input_to_the_end_and_both_its_outputs_are_heard(self) -> None:
        assert await said_by(shell("cat; echo also >&2; printf unfinished"), b"a\nb\n") == [
            "a",
            "b",
            "also",
            "unfinished",
        ]

    async def test_it_need_not_read_its_input(self) -> None:
        assert await said_by(shell("exec <&-; echo done"), b"x" * (4 << 20)) == ["done"]

    async def test_megabytes_of_output_neither_block_it_nor_are_all_kept(self) -> None:
        lines = await said_by(shell("yes 'a line' | head -c 8000000; echo; head -c 3000000 /dev/zero"))
        assert lines[0] == "a line"
        assert lines[-1] == "(what else it writes is not shown)"
        assert sum(map(len, lines)) < 80_000

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("exit 3", "exit code 3"),
            ("echo fine; echo the disk is gone >&2; exit 1", "exit code 1: the disk is gone"),
            ("kill -9 $$", "killed by SIGKILL"),
        ],
    )
    async def test_a_failure_says_how_it_ended_and_its_last_words(self, text: str, reason: str) -> None:
        assert await refusal(shell(text)) == reason

    async def test_a_command_that_cannot_be_run_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "script").write_text("#!/bin/sh\n")
        assert await refusal(Hook((f"{tmp_path}/script",))) == f"{tmp_path}/script cannot be run: Permission denied"
        assert await refusal(Hook(("/nowhere",))) == "/nowhere cannot be run: No such file or directory"

    async def test_one_that_takes_longer_than_it_may_fails(self) -> None:
        assert (await refusal(shell("sleep 1000", 0.2))).startswith("it did not end within 0.2 s and was killed")

    async def test_cancelled_it_ends_with_all_its_processes(self, tmp_path: Path) -> None:
        await cancelled_when_it_speaks(
            shell(
                f"trap '' TERM; sleep 1000 & echo $! $$ > {tmp_path}/pids; echo; echo on; while :; do sleep 1000; done"
            )
        )
        await all_gone(tmp_path / "pids")

    async def test_it_is_asked_politely_first(self, tmp_path: Path) -> None:
        await cancelled_when_it_speaks(
            shell(f"trap 'echo cleaned > {tmp_path}/done; exit' TERM; echo on; while :; do sleep 0.05; done")
        )
        assert (tmp_path / "done").read_text() == "cleaned\n"

    async def test_a_child_that_it_leaves_behind_is_not_waited_for(self, tmp_path: Path) -> None:
        lines = await said_by(shell(f"sleep 1000 & echo $! > {tmp_path}/pid; echo left"))
        assert lines == ["left"]
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    async def test_it_inherits_no_descriptor(self, tmp_path: Path) -> None:
        with (tmp_path / "lock").open("w") as lock:
            os.set_inheritable(lock.fileno(), True)
            fcntl.flock(lock, fcntl.LOCK_EX)
            (listed,) = await said_by(shell("echo /proc/$$/fd/*"))
        assert {Path(path).name for path in listed.split()} <= {"0", "1", "2", "3"}  # 3: the shell's own, of the glob
        with (tmp_path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    async def test_it_has_no_terminal(self) -> None:
        assert await said_by(shell("(: < /dev/tty) 2>/dev/null || echo none")) == ["none"]


async def cancelled_when_it_speaks(hook: Hook) -> None:
    with fail_after(60):
        async with create_task_group() as tasks:
            await run_command(
                hook, environment=dict(os.environb), content=b"", say=lambda _: tasks.cancel_scope.cancel()
            )


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def all_gone(pids: Path) -> None:
    """Wait for the end of processes that were killed: their parent, the system's first process, reaps them."""
    with fail_after(30):
        for pid in map(int, pids.read_text().split()):
            while is_alive(pid):  # noqa: ASYNC110 # the system has no event for it
                await sleep(0.01)


class TestEnvironment:
    def test_of_an_entry_it_holds_the_very_bytes_of_the_names(self) -> None:
        environment = environment_of("after_entry", EntryEnded(COMMITTED), AROUND)
        ours = {name.decode(): value for name, value in environment.items() if name.startswith(b"ASYNC_BACKUP_")}
        assert ours == {
            "ASYNC_BACKUP_EVENT": b"after_entry",
            "ASYNC_BACKUP_RUN": b"run-1",
            "ASYNC_BACKUP_PROFILE_NAME": b"nightly",
            "ASYNC_BACKUP_DESTINATION": b"me@nas:/b",
            "ASYNC_BACKUP_OUTCOME": b"committed",
            "ASYNC_BACKUP_ENTRY": b"/data/caf\xe9\n",
            "ASYNC_BACKUP_ARCHIVE": b"data/caf\xe9\n-now.tar.gz",
            "ASYNC_BACKUP_SIZE": b"1000",
            "ASYNC_BACKUP_DIGEST": b"aa",
        }

    @pytest.mark.parametrize(
        ("subject", "outcome", "code", "error"),
        [
            (RunEnded(Report((COMMITTED,))), b"complete", b"0", None),
            (RunEnded(Report((COMMITTED, FAILED))), b"incomplete", b"3", None),
            (RunEnded(Report(is_interrupted=True)), b"interrupted", b"130", None),
            (Unreachable("nas: no route"), b"nothing_done", b"1", b"nas: no route"),
        ],
    )
    def test_of_a_run_it_holds_how_that_ended(
        self, subject: RunEnded | BackupError, outcome: bytes, code: bytes, error: bytes | None
    ) -> None:
        environment = environment_of("after", subject, AROUND)
        assert environment[b"ASYNC_BACKUP_OUTCOME"] == outcome
        assert environment[b"ASYNC_BACKUP_EXIT_CODE"] == code
        assert environment.get(b"ASYNC_BACKUP_ERROR") == error

    def test_the_monitors_address_and_what_an_outer_run_set_are_not_passed_on(self) -> None:
        inherited = {b"ASYNC_BACKUP_PING": b"https://secret", b"ASYNC_BACKUP_ENTRY": b"old", b"PATH": b"/bin"}
        environment = environment_of("after", RunEnded(Report()), AROUND._replace(environment=inherited))
        assert environment[b"PATH"] == b"/bin"
        assert not {b"ASYNC_BACKUP_PING", b"ASYNC_BACKUP_ENTRY"} & environment.keys()

    @given(st.text())
    def test_any_text_of_an_error_fits_into_it(self, text: str) -> None:
        value = environment_of("after", BackupError(text), AROUND).get(b"ASYNC_BACKUP_ERROR", b"")
        assert b"\0" not in value
        assert len(value) <= 4096


class World:
    """A run with hooks that write what they learn into a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.events: list[object] = []
        self.stop = Event()

    def writes(self, name: str, then: str = "") -> Hook:
        return shell(f"echo {name} >> {self.directory}/order; cat >> {self.directory}/{name}; {then}")

    async def run(self, hooks: HookSettings, *events: EntryEnded | RunEnded | Exception) -> None:
        attendance = Attendance(AROUND, line_of, hooks)
        with fail_after(60):
            async with attended(attendance, self.events.append, self.stop) as listener:
                for event in events:
                    if isinstance(event, Exception):
                        raise event
                    listener(event)

    @property
    def order(self) -> list[str]:
        file = self.directory / "order"
        return file.read_text().split() if file.exists() else []

    def learnt(self, name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.directory / name).read_text().splitlines()]

    def failures(self) -> list[str]:
        return [event.hook for event in self.events if isinstance(event, HookFailed)]

    @property
    def all_hooks(self) -> HookSettings:
        return HookSettings(*(self.writes(name) for name in ("before", "after_entry", "after", "on_failure")))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class TestAttended:
    async def test_each_hook_runs_in_its_turn_and_reads_the_event_as_json(self, world: World) -> None:
        await world.run(world.all_hooks, EntryEnded(COMMITTED), RunEnded(Report((COMMITTED,))))
        assert world.order == ["before", "after_entry", "after"]
        (due,), (entry,), (end,) = (world.learnt(name) for name in world.order)
        assert (due["event"], due["destinations"]) == ("run_due", ["me@nas:/b"])
        assert (entry["event"], entry["outcome"], entry["digest"]) == ("entry_ended", "committed", "aa")
        assert (end["event"], end["exit_code"]) == ("run_ended", 0)

    async def test_on_failure_runs_only_where_the_exit_code_is_not_0(self, world: World) -> None:
        await world.run(world.all_hooks, RunEnded(Report((FAILED,))))
        assert world.order == ["before", "on_failure", "after"]

    @pytest.mark.parametrize("error", [Unreachable("nas: no route"), RuntimeError("a bug")])
    async def test_a_run_that_ends_with_an_error_is_told_as_well(self, world: World, error: Exception) -> None:
        with pytest.raises(type(error), match=str(error)):
            await world.run(world.all_hooks, error)
        assert world.order == ["before", "on_failure", "after"]
        (told,) = world.learnt("on_failure")
        assert (told["event"], told["exit_code"]) == ("error", 1)
        assert str(error) in str(told["message"])

    @pytest.mark.parametrize(("before", "reason"), [("exit 7", "exit code 7"), ("sleep 1000", "did not end within")])
    async def test_where_before_fails_the_run_does_not_begin(self, world: World, before: str, reason: str) -> None:
        hooks = HookSettings(shell(before, 0.5), None, world.writes("after"), world.writes("on_failure"))
        with pytest.raises(HookError, match="nothing was backed up") as caught:
            await world.run(hooks, RunEnded(Report()))
        assert reason in str(caught.value)
        assert caught.value.exit_code is ExitCode.NOTHING_DONE
        assert world.order == ["on_failure", "after"]
        assert not [event for event in world.events if isinstance(event, RunEnded)]

    async def test_other_hooks_that_fail_are_told_and_change_nothing(self, world: World) -> None:
        bad = shell("exit 1")
        report = Report((FAILED,))
        await world.run(HookSettings(None, bad, bad, bad), EntryEnded(FAILED), RunEnded(report))
        assert world.failures() == ["after_entry", "on_failure", "after"]
        assert [event for event in world.events if isinstance(event, RunEnded)] == [RunEnded(report)]

    async def test_a_hook_that_hangs_after_an_entry_holds_up_the_end_only_for_its_time(self, world: World) -> None:
        hooks = HookSettings(after_entry=shell("sleep 1000", 0.5), after=world.writes("after"))
        await world.run(hooks, *[EntryEnded(COMMITTED)] * 20, RunEnded(Report((COMMITTED,))))
        assert world.order == ["after"]
        told = [event.reason for event in world.events if isinstance(event, HookFailed)]
        assert any("was not run for" in reason for reason in told)

    async def test_more_entries_than_can_wait_are_counted(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(entries, "_WAITING", 2)
        hooks = HookSettings(after_entry=world.writes("after_entry"))
        await world.run(hooks, *[EntryEnded(COMMITTED)] * 10, RunEnded(Report((COMMITTED,))))
        ran = len(world.order)
        assert 2 <= ran < 10
        assert [event for event in world.events if isinstance(event, HookFailed)] == [
            HookFailed("after_entry", f"it was not run for {10 - ran} entries: it is too slow")
        ]

    async def test_what_hooks_write_is_an_event(self, world: World) -> None:
        await world.run(HookSettings(before=shell("echo hello")), RunEnded(Report()))
        assert world.events[0] == HookSaid("before", "hello")


class TestStopping:
    async def test_before_is_killed_and_the_run_goes_on_to_say_that_it_was_interrupted(self, world: World) -> None:
        world.stop.set()
        hooks = HookSettings(shell("sleep 1000"), None, world.writes("after"), world.writes("on_failure"))
        await world.run(hooks, RunEnded(Report(is_interrupted=True)))
        assert world.order == ["on_failure", "after"]

    async def test_hooks_at_the_end_are_killed_and_those_left_out_are_named(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(command, "_KILL_GRACE", 0.2)
        world.stop.set()
        hang = shell("trap '' TERM; while :; do sleep 1000; done")
        hooks = HookSettings(on_failure=hang, after=world.writes("after"))
        await world.run(hooks, EntryEnded(Interrupted(ENTRY)), RunEnded(Report(is_interrupted=True)))
        assert world.failures() == ["on_failure", "after"]
        assert world.order == []

    async def test_an_end_that_is_stopped_while_it_goes_on_ends(self, world: World) -> None:
        def listener(event: object) -> None:
            world.events.append(event)
            if isinstance(event, HookSaid):
                world.stop.set()

        attendance = Attendance(AROUND, line_of, HookSettings(after=shell("echo on; sleep 1000")))
        with fail_after(60):
            async with attended(attendance, listener, world.stop) as heard:
                heard(RunEnded(Report()))
        assert world.failures() == ["after"]


def printed(verbosity: int) -> tuple[Callable[[object], None], list[str]]:
    lines: list[str] = []
    return with_hooks(lambda event: lines.append(f"other {event}"), lines.append, verbosity), lines


def test_lines_of_hooks_are_safe_to_print_and_begin_with_whose_they_are() -> None:
    assert hook_line(HookSaid("before", "\x1b[1m")) == "hook before: \\x1b[1m"
    listener, lines = printed(QUIET)
    for event in (HookSaid("after", "x"), HookFailed("after", "exit code 1"), 5):
        listener(event)
    assert lines == ["warning: the hook after failed: exit code 1", "other 5"]
