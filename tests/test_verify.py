"""Verifying: what the server holds is compared with what was recorded; each archive gets its word."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from anyio import Event, fail_after
from rich.console import Console

from async_backup.checksum_files import checksum_name
from async_backup.config import Destination, SshSettings, Verify
from async_backup.errors import (
    ConnectionDropped,
    NoDigestCommand,
    RemoteError,
    RemoteNotFound,
    SettingsError,
    Unreachable,
)
from async_backup.ui.json_lines import JsonPrinter
from async_backup.ui.lines import NORMAL, QUIET, VERBOSE
from async_backup.ui.verifying import VerifyBar, VerifyPrinter
from async_backup.verifying.model import (
    ArchiveChecked,
    BytesVerified,
    ChecksumAlone,
    Finding,
    MethodFound,
    Verdict,
    VerifyEnded,
    VerifyReport,
    VerifySettings,
    VerifyStarted,
)
from async_backup.verifying.verify import verify
from tests.command import PROGRAM, finished, login
from tests.embedded import embedded_server
from tests.read_faults import CloseChannelWhileReading, CountReaders, DropWhileReading
from tests.restores import archive_of
from tests.shell_faults import LyingDigest, OtherPaths, RefuseCommands, ShellEndsOnce
from tests.stores import DiskWorld
from tests.verifications import NAME, Verified, checksum_of, name_of, shallow_check, store_of, verified

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from async_backup.demo.server import DemoServer
    from async_backup.verifying.model import VerifyEvent
    from tests.embedded import Fault
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

OTHER = b"other-2026-11-20T120000.tar.gz"
FOREIGN = b"somebody's.tar.gz"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = tmp_path_factory.mktemp("source") / "entry"
    (root / "sub").mkdir(parents=True)
    for number in range(40):
        (root / f"sub/file{number}").write_bytes(Random(number).randbytes(30_000))
    return archive_of(root)


class Server:
    """A server that shows the directory `/d`, and what is in it."""

    def __init__(self, base: Path, demo: DemoServer) -> None:
        self._demo = demo
        self.directory = base / "root/d"
        self.directory.mkdir()
        self.world = DiskWorld(self.directory)

    def put(self, name: bytes, content: bytes, *recorded: str, of: bytes | None = None) -> None:
        """An archive, beside checksum files of the hashes `recorded` of it, or of what it was."""
        self.world.put(name, content)
        for algorithm in recorded:
            self.world.put(checksum_name(name, algorithm), checksum_of(of or content, name, algorithm))

    async def verified(self, *names: bytes, **options: Any) -> Verified:
        before = self.world.files()
        found = await verified(self._demo.destination(b"/d"), self._demo.ssh(10), *names, **options)
        assert self.world.files() == before or options.get("repair_checksums")
        return found

    def settings(self, **options: Any) -> VerifySettings:
        return VerifySettings(self._demo.destination(b"/d"), ssh=self._demo.ssh(10), **options)


@asynccontextmanager
async def running(base: Path, *faults: Fault) -> AsyncIterator[Server]:
    """Faults that were planned must have fired."""
    with fail_after(60):
        async with embedded_server(base, *faults) as demo:
            yield Server(base, demo)


def methods(found: Verified) -> list[tuple[str, str]]:
    return [(event.algorithm, event.computed_by) for event in found.events if isinstance(event, MethodFound)]


async def test_digests_come_from_the_server_and_no_archive_travels(tmp_path: Path, archive: bytes) -> None:
    count = CountReaders()
    async with running(tmp_path, count) as server:
        for number in range(6):
            server.put(name_of(number), archive, "md5")
        found = await server.verified()
    assert [found.verdict(name_of(number)) for number in range(6)] == [Verdict.WHOLE] * 6
    assert methods(found) == [("md5", "md5sum")]
    assert found.report.exit_code == 0
    assert (found.report.archives, found.report.size) == (6, 6 * len(archive))
    assert count.fired == 7  # a small checksum file for each, and one more to try the command on


async def test_whatever_was_done_to_an_archive_its_digest_tells(tmp_path: Path, archive: bytes) -> None:
    flipped = archive[:999] + bytes([archive[999] ^ 1]) + archive[1000:]
    async with running(tmp_path) as server:
        server.put(NAME, flipped, "md5", of=archive)
        server.put(name_of(1), archive[:-1], "md5", of=archive)
        server.put(name_of(2), b"", "md5", of=archive)
        server.put(name_of(3), archive, "md5")
        found = await server.verified()
    assert [found.verdict(name_of(number)) for number in range(4)] == [Verdict.DAMAGED] * 3 + [Verdict.WHOLE]
    assert found.checked().recorded == hashlib.md5(archive).hexdigest()
    assert found.checked().digest == hashlib.md5(flipped).hexdigest()
    assert found.report.exit_code == 3


async def test_the_strongest_recorded_hash_counts_and_each_hash_finds_its_command(
    tmp_path: Path, archive: bytes
) -> None:
    async with running(tmp_path) as server:
        server.put(NAME, archive, "sha512")
        server.put(name_of(1), archive, "md5", "sha256")
        server.put(name_of(2), archive, "sha1", of=b"else")
        server.put(name_of(3), archive, "md5")
        found = await server.verified()
    assert methods(found) == [("md5", "md5sum"), ("sha1", "sha1sum"), ("sha256", "sha256sum"), ("sha512", "sha512sum")]
    assert [found.checked(name_of(number)).algorithm for number in range(4)] == ["sha512", "sha256", "sha1", "md5"]
    assert [found.verdict(name_of(number)) for number in range(4)] == [
        Verdict.WHOLE,
        Verdict.WHOLE,
        Verdict.DAMAGED,
        Verdict.WHOLE,
    ]


async def test_an_archive_without_checksum_file_is_not_verified(tmp_path: Path, archive: bytes) -> None:
    async with running(tmp_path) as server:
        server.put(NAME, archive)
        server.put(name_of(1), archive, "md5")
        found = await server.verified()
    assert found.verdict() is Verdict.UNVERIFIED
    assert "no recorded checksum; --deep checks it" in found.finding().reason
    assert found.report.exit_code == 3


@pytest.mark.parametrize("deep", [False, True])
async def test_a_checksum_file_that_a_run_writes_meanwhile_counts(tmp_path: Path, archive: bytes, deep: bool) -> None:
    async with running(tmp_path) as server:
        server.put(NAME, archive)
        server.put(name_of(1), archive[:-1])
        server.put(name_of(2), archive, "md5")
        events: list[VerifyEvent] = []

        def write_when_one_is_done(event: VerifyEvent) -> None:
            events.append(event)
            if isinstance(event, ArchiveChecked) and event.archive == name_of(2):
                for name in (NAME, name_of(1)):
                    server.world.put(checksum_name(name, "md5"), checksum_of(archive, name))

        options = {"deep": True, "repair_checksums": True} if deep else {}
        report = await verify(server.settings(**options), write_when_one_is_done)
    found = Verified(report, events)
    assert [found.verdict(name_of(number)) for number in range(3)] == [Verdict.WHOLE, Verdict.DAMAGED, Verdict.WHOLE]
    assert methods(found) == ([] if deep else [("md5", "md5sum")])
    assert found.written == []


async def test_somebody_elses_archive_without_checksum_file_is_passed_over_unless_it_is_named(
    tmp_path: Path, archive: bytes
) -> None:
    async with running(tmp_path) as server:
        server.put(FOREIGN, archive)
        found, named = await server.verified(), await server.verified(FOREIGN)
    assert (found.verdict(FOREIGN), found.report.exit_code) == (Verdict.PASSED_OVER, 0)
    assert (named.verdict(FOREIGN), named.report.exit_code) == (Verdict.UNVERIFIED, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\xff\0 garbled", "one line"),
        (checksum_of(b"x", OTHER), "names another file: other-2026-11-20T120000.tar.gz"),
        (b"0" * 5000, "it is too long"),
    ],
)
async def test_a_checksum_file_of_no_use_is_named(tmp_path: Path, archive: bytes, content: bytes, reason: str) -> None:
    async with running(tmp_path) as server:
        server.put(NAME, archive)
        server.world.put(checksum_name(NAME, "md5"), content)
        found = await server.verified()
    assert found.verdict() is Verdict.UNVERIFIED
    assert f"its checksum file {NAME.decode()}.md5 is of no use: " in found.finding().reason
    assert reason in found.finding().reason


async def test_a_checksum_file_whose_archive_is_gone_is_noted(tmp_path: Path, archive: bytes) -> None:
    async with running(tmp_path) as server:
        server.put(NAME, archive, "md5")
        server.world.put(b"gone-2026-11-20T120000.tar.gz.md5", b"")
        (server.directory / "source").mkdir()
        (server.directory / "source/gone.tar.gz.sha1").touch()
        found, named = await server.verified(), await server.verified(b"entry")
    told = [event.path for event in found.events if isinstance(event, ChecksumAlone)]
    assert told == [b"gone-2026-11-20T120000.tar.gz.md5", b"source/gone.tar.gz.sha1"]
    assert found.report.exit_code == 0
    assert not any(isinstance(event, ChecksumAlone) for event in named.events)


@pytest.mark.parametrize("fault", [RefuseCommands, OtherPaths])
async def test_without_a_command_archives_are_read_back_and_that_is_said(
    tmp_path: Path, archive: bytes, fault: type[Fault]
) -> None:
    async with running(tmp_path, fault()) as server:
        server.put(NAME, archive, "md5")
        server.put(name_of(1), archive[:-1], "md5", of=archive)
        found = await server.verified()
    assert methods(found) == [("md5", "readback")]
    assert (found.verdict(), found.verdict(name_of(1))) == (Verdict.WHOLE, Verdict.DAMAGED)


async def test_who_insists_on_a_command_gets_no_readback(tmp_path: Path, archive: bytes) -> None:
    async with running(tmp_path, RefuseCommands()) as server:
        server.put(NAME, archive, "md5")
        found = await server.verified(verify=Verify.COMMAND)
    assert isinstance(found.report.error, NoDigestCommand)
    assert (found.report.not_reached, found.report.exit_code) == (1, 1)


async def test_who_wants_a_readback_has_no_command_run(tmp_path: Path, archive: bytes) -> None:
    async with running(tmp_path) as server:
        server.put(NAME, archive, "md5")
        found = await server.verified(verify=Verify.READBACK)
    assert (methods(found), found.verdict()) == ([("md5", "readback")], Verdict.WHOLE)


async def test_a_command_that_lies_makes_no_archive_whole(tmp_path: Path, archive: bytes) -> None:
    async with running(tmp_path, LyingDigest()) as server:
        server.put(NAME, archive, "md5")
        found = await server.verified()
    assert found.verdict() is Verdict.DAMAGED


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], {0, 1, 2, 3}),
        ([b"entry"], {0, 1, 2}),
        ([b"other"], {3}),
        ([name_of(1)], {1}),
        ([b"entry@2026-11-21"], {1}),
        ([b"entry@2026-11-20", b"other"], {0, 3}),
        ([b"entry", name_of(0)], {0, 1, 2}),
    ],
)
async def test_entries_archives_and_times_can_be_named(
    tmp_path: Path, archive: bytes, names: Sequence[bytes], expected: set[int]
) -> None:
    there = [name_of(0), name_of(1), name_of(2), OTHER]
    async with running(tmp_path) as server:
        for name in there:
            server.put(name, archive, "md5")
        found = await server.verified(*names)
    checked = {there.index(event.archive) for event in found.events if isinstance(event, ArchiveChecked)}
    assert checked == expected
    assert found.report.archives == len(expected)


async def test_a_name_that_is_not_there_and_a_directory_without_archives_are_errors(
    tmp_path: Path, archive: bytes
) -> None:
    async with running(tmp_path) as server:
        with pytest.raises(RemoteNotFound, match="there are no archives in /d"):
            await server.verified()
        server.put(NAME, archive, "md5")
        with pytest.raises(RemoteNotFound, match="did you mean entry"):
            await server.verified(b"entri")
        with pytest.raises(SettingsError, match="is not a time"):
            await server.verified(b"entry@yesterday")


async def test_it_goes_on_after_a_shell_that_ended(tmp_path: Path, archive: bytes) -> None:
    async with running(tmp_path, ShellEndsOnce(3)) as server:
        for number in range(5):
            server.put(name_of(number), archive, "md5")
        found = await server.verified()
    assert found.report.counts == {Verdict.WHOLE: 5}


@pytest.mark.parametrize("fault", [DropWhileReading(400_000, times=2), CloseChannelWhileReading(400_000, times=3)])
async def test_a_deep_check_goes_on_after_lost_connections(tmp_path: Path, archive: bytes, fault: Fault) -> None:
    async with running(tmp_path, fault) as server:
        server.put(NAME, archive, "md5")
        server.put(name_of(1), archive, "sha256")
        found = await server.verified(deep=True)
    assert found.report.counts == {Verdict.WHOLE: 2}
    assert sum(event.size for event in found.events if isinstance(event, BytesVerified)) == 2 * len(archive)


async def test_a_deep_check_through_processes_finds_damage_and_repairs_what_is_missing(
    tmp_path: Path, archive: bytes
) -> None:
    spoilt = archive[:70_000] + b"spoilt" + archive[70_006:]
    async with running(tmp_path) as server:
        server.put(NAME, archive, "sha1")
        server.put(name_of(1), spoilt, "sha1", of=archive)
        server.put(name_of(2), archive)
        server.put(name_of(3), spoilt)
        before = server.world.files()
        found = await server.verified(deep=True, repair_checksums=True)
        written = {checksum_name(name_of(2), "sha1"): checksum_of(archive, name_of(2), "sha1")}
        assert server.world.files() == before | written
    assert found.report.counts == {Verdict.WHOLE: 2, Verdict.DAMAGED: 2}
    assert (found.report.checksums_written, found.report.exit_code) == (1, 3)


@pytest.mark.parametrize("deep", [False, True])
async def test_an_interrupted_verification_says_how_far_it_came(tmp_path: Path, archive: bytes, deep: bool) -> None:
    stop, events = Event(), list[object]()

    def stop_at_once(event: VerifyEvent) -> None:
        events.append(event)
        if isinstance(event, ArchiveChecked):
            stop.set()

    async with running(tmp_path) as server:
        for number in range(8):
            server.put(name_of(number), archive, "md5")
        before = server.world.files()
        report = await verify(server.settings(deep=deep), stop_at_once, stop=stop)
        assert server.world.files() == before
    assert (report.is_interrupted, report.exit_code) == (True, 130)
    assert report.not_reached == 8 - sum(isinstance(event, ArchiveChecked) for event in events) > 0
    assert events[-1] == VerifyEnded(report)


async def test_an_error_of_one_archive_does_not_keep_the_others_from_their_turn(archive: bytes) -> None:
    store = store_of(archive, archive, archive, faults={"digest": [RemoteError("Input/output error")]})
    before = dict(store.files)
    found = await shallow_check(store)
    assert found.report.counts == {Verdict.UNVERIFIED: 1, Verdict.WHOLE: 2}
    assert found.reasons() == ["Input/output error"]
    assert store.files == before


async def test_an_archive_that_is_removed_meanwhile_is_not_verified(archive: bytes) -> None:
    found = await shallow_check(store_of(archive, faults={"digest": [RemoteNotFound("it is gone")]}))
    assert (found.verdict(), found.reasons()) == (Verdict.UNVERIFIED, ["it is gone"])


async def test_a_lost_connection_costs_one_archive_a_lost_server_all(archive: bytes) -> None:
    found = await shallow_check(store_of(archive, archive, faults={"digest": [ConnectionDropped("gone")]}))
    assert found.report.counts == {Verdict.UNVERIFIED: 1, Verdict.WHOLE: 1}
    with pytest.raises(Unreachable):
        await shallow_check(store_of(archive, archive, faults={"digest": [Unreachable("nobody there")]}))


def test_settings_that_contradict_each_other_are_refused() -> None:
    here = Destination("nowhere", b"/d")
    with pytest.raises(SettingsError, match="needs --deep"):
        VerifySettings(here, repair_checksums=True)
    with pytest.raises(SettingsError, match="--verify command contradicts that"):
        VerifySettings(here, deep=True, verify=Verify.COMMAND)
    with pytest.raises(SettingsError, match="empty name"):
        VerifySettings(here, (b"",), SshSettings())


HOSTILE = b"a\x1b[31m\n[/]\xff\xe2\x80\xae-2026-11-20T120000.tar.gz"
EVENTS: list[VerifyEvent] = [
    VerifyStarted(5, 500),
    MethodFound("md5", "md5sum"),
    MethodFound("sha1", "readback", "no \x1b command"),
    BytesVerified(100),
    ArchiveChecked(NAME, 100, Verdict.WHOLE, algorithm="md5", recorded="aa", digest="aa", computed_by="md5sum"),
    ArchiveChecked(
        HOSTILE, 100, Verdict.DAMAGED, (Finding(Verdict.DAMAGED, "segment 1", 1, 0, (HOSTILE, b"b"), 7),), 3
    ),
    ArchiveChecked(OTHER, 100, Verdict.UNVERIFIED, (Finding(Verdict.UNVERIFIED, "no recorded checksum"),)),
    ArchiveChecked(FOREIGN, 100, Verdict.PASSED_OVER, (Finding(Verdict.PASSED_OVER, "no recorded checksum"),)),
    ChecksumAlone(HOSTILE + b".md5"),
    VerifyEnded(
        VerifyReport(5, dict.fromkeys(Verdict, 1), 100, ("md5sum",), error=Unreachable("\x1b gone"), seconds=2.0)
    ),
]


def printed(verbosity: int) -> tuple[list[str], list[str]]:
    out, err = list[str](), list[str]()
    printer = VerifyPrinter(out.append, err.append, verbosity)
    for event in EVENTS:
        printer(event)
    return out, err


def test_lines_name_trouble_always_and_whole_archives_only_if_wanted() -> None:
    out, err = printed(NORMAL)
    assert out[-2] == "1 of 5 archives verified (100 B, md5sum on the server, 2.0 s)"
    assert out[-1].startswith("1 archive without a recorded checksum passed over")
    assert not any(line.startswith("ok: ") for line in out)
    assert err[-3:] == [
        "1 archive damaged (named above)",
        "1 archive could not be verified (named above)",
        "1 archive not looked at",
    ]
    assert any(line.endswith(" and 7 more") for line in err)
    assert "ok: entry-2026-11-20T120000.tar.gz (md5 aa, 100 B)" in printed(VERBOSE)[0]
    assert printed(QUIET) == ([], err)


def test_a_deep_check_says_that_it_read_every_segment() -> None:
    out = list[str]()
    report = VerifyReport(2, {Verdict.WHOLE: 2}, 100, ("readback",), seconds=2.0)
    VerifyPrinter(out.append, out.append, NORMAL, deep=True)(VerifyEnded(report))
    VerifyPrinter(out.append, out.append, NORMAL)(VerifyEnded(report))
    assert out == [
        "2 of 2 archives verified (100 B, every segment read, 2.0 s)",
        "2 of 2 archives verified (100 B, read back, 2.0 s)",
    ]


@pytest.mark.parametrize(("of_bytes", "amount"), [(True, "1.0 MiB of 3.0 MiB"), (False, "0/2 archives")])
def test_the_bar_says_what_it_is_about(of_bytes: bool, amount: str) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, highlight=False, color_system=None)
    with VerifyBar(console, of_bytes=of_bytes) as bar:
        for event in (VerifyStarted(2, 3 << 20), BytesVerified(1 << 20)):
            bar(event)
        console.print(bar.render())
    assert "verifying" in output.getvalue()
    assert amount in output.getvalue()


def test_nothing_hostile_reaches_a_terminal() -> None:
    assert all(line.isprintable() for lines in printed(VERBOSE) for line in lines)
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, highlight=False)
    with VerifyBar(console, of_bytes=True) as bar:
        bar.lines = VerifyPrinter(bar.print, bar.trouble, NORMAL)
        for event in EVENTS:
            bar(event)
    assert "[/]" in output.getvalue()
    assert "\x1b[31m\n" not in output.getvalue()
    assert "\u202e" not in output.getvalue()


def test_every_event_is_a_line_of_json() -> None:
    lines: list[str] = []
    for event in EVENTS:
        JsonPrinter(lines.append)(event)
    names = [json.loads(line)["event"] for line in lines]
    assert names[0] == "verify_started"
    assert json.loads(lines[5])["verdict"] == "damaged"
    last = json.loads(lines[-1])
    assert (last["event"], last["exit_code"], last["counts"]["damaged"]) == ("verify_ended", 3, 1)


def test_the_command_verifies_what_the_command_has_stored(sshd: Sshd, tmp_path: Path) -> None:
    directory, source = sshd.directory / "verified", tmp_path / "source"
    for entry in ("one", "two"):
        (source / entry).mkdir(parents=True)
        (source / entry / "file").write_bytes(Random(entry).randbytes(300_000))
    assert finished([*PROGRAM, "run", str(source), "--to", sshd.destination(directory), *login(sshd)]).returncode == 0
    command = [*PROGRAM, "verify", sshd.destination(directory), *login(sshd)]
    done = finished(command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("2 of 2 archives verified (587.")
    assert "md5sum on the server" in done.stdout
    assert finished([*command, "-q"]).stdout == ""
    assert finished([*command, "--deep"]).returncode == 0

    (spoilt,) = directory.glob("one-*.tar.gz")
    content = bytearray(spoilt.read_bytes())
    content[1000] ^= 1
    spoilt.write_bytes(content)
    done = finished([*command, "-q"])
    assert done.returncode == 3
    assert f"DAMAGED: {spoilt.name}: " in done.stderr
    done = finished([*command, "--deep", "one"])
    assert done.returncode == 3
    assert "segment 1 of 1 at byte 0 is damaged: " in done.stderr
    assert "one, one/file" in done.stderr
    assert finished([*command, "--deep", "two"]).returncode == 0
    assert finished([*command, "three"]).returncode == 1
    assert finished([*command, "--repair-checksums"]).returncode == 2
    done = finished([*command, "--json"])
    assert json.loads(done.stdout.splitlines()[-1])["counts"] == {"damaged": 1, "whole": 1}
