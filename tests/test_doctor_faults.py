"""What the doctor makes of servers that are not as they should be, each fault by itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from async_backup.doctor import asking, speed
from async_backup.doctor.model import State, Step
from async_backup.errors import ExitCode
from tests.digest_servers import ChecksFiles, LoneCommands
from tests.embedded import Fault, embedded_server
from tests.examinations import examined, found, states, tree
from tests.file_faults import (
    BitFlip,
    DiskFull,
    Hang,
    InOrderOnly,
    NoLimits,
    OneWriter,
    OpenToOthers,
    RenamesOtherwise,
    TruncateOnOpen,
)
from tests.shell_faults import Babble, RefuseCommands, ShellWithoutAnswer

if TYPE_CHECKING:
    from pathlib import Path

    from async_backup.doctor.model import DoctorReport

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_MOST", 2 << 20)
    monkeypatch.setattr(asking, "_COMMAND_PATIENCE", 1.0)


async def on_server(base: Path, *faults: Fault, timeout: float = 10.0) -> DoctorReport:
    """An examination of the directory `d`, in which a file of somebody else lies, and nothing else afterwards."""
    async with embedded_server(base, *faults) as server:
        (base / "root" / "d").mkdir()
        (base / "root" / "d" / "foreign").write_bytes(b"foreign")
        report = await examined(server.destination(b"/d"), server.ssh(timeout))
    assert tree(base / "root") == {"d": None, "d/foreign": b"foreign"}
    return report


def trouble(report: DoctorReport) -> dict[Step, State]:
    return {step: state for step, state in states(report).items() if state is not State.OK}


async def test_a_server_whose_only_command_is_a_digest_is_read_back(tmp_path: Path) -> None:
    report = await on_server(tmp_path)
    assert trouble(report) == {
        Step.SHELL: State.WARNING,
        Step.DIGEST: State.SKIPPED,
        Step.PATHS: State.SKIPPED,
    }
    assert report.exit_code is ExitCode.COMPLETE


@pytest.mark.parametrize("fault", [RefuseCommands(), Babble(), ShellWithoutAnswer()], ids=lambda f: type(f).__name__)
async def test_shells_of_no_use_cost_reading_back(tmp_path: Path, fault: Fault) -> None:
    report = await on_server(tmp_path, fault)
    assert states(report)[Step.SHELL] is State.WARNING
    assert report.learnt.verification == "readback"
    assert report.exit_code is ExitCode.COMPLETE


async def test_a_server_without_shell_that_computes_digests_is_found_out(tmp_path: Path) -> None:
    report = await on_server(tmp_path, ChecksFiles(tmp_path / "root"))
    assert states(report)[Step.SHELL] is State.WARNING
    assert "check-file" in found(report, Step.DIGEST).found
    assert states(report)[Step.PATHS] is State.SKIPPED
    assert (report.learnt.verification, report.learnt.digest_command) == ("check-file", "check-file")
    assert report.exit_code is ExitCode.COMPLETE


async def test_a_command_by_itself_is_found_where_no_shell_stays(tmp_path: Path) -> None:
    report = await on_server(tmp_path, LoneCommands(tmp_path / "root", "md5sum"))
    assert (report.learnt.verification, report.learnt.digest_command) == ("md5sum", "md5sum")


@pytest.mark.parametrize("fault", [InOrderOnly, TruncateOnOpen, OneWriter])
async def test_a_server_that_takes_files_in_order_or_once_is_measured_so(tmp_path: Path, fault: type[Fault]) -> None:
    report = await on_server(tmp_path, fault())
    assert "one channel" in found(report, Step.RATE).meaning
    assert found(report, Step.RATE).state is State.OK


async def test_a_server_that_shows_archives_to_others_is_found_out(tmp_path: Path) -> None:
    report = await on_server(tmp_path, OpenToOthers(for_good=True))
    assert found(report, Step.WRITING).state is State.WARNING
    assert "Others" in found(report, Step.WRITING).meaning


async def test_missing_extensions_are_named_with_what_they_cost(tmp_path: Path) -> None:
    report = await on_server(tmp_path, NoLimits())
    finding = found(report, Step.EXTENSIONS)
    assert finding.state is State.WARNING
    assert "fsync" in finding.found
    assert "power cut" in finding.meaning
    assert states(report)[Step.SPACE] is State.WARNING
    assert report.exit_code is ExitCode.COMPLETE


async def test_a_server_whose_rename_overwrites_stands_in_the_way_of_a_promise(tmp_path: Path) -> None:
    report = await on_server(tmp_path, RenamesOtherwise(tmp_path / "root", os.replace))
    assert states(report)[Step.OVERWRITING] is State.FAILED
    assert report.exit_code is ExitCode.INCOMPLETE


async def test_a_server_that_only_says_that_it_renames_can_store_nothing(tmp_path: Path) -> None:
    report = await on_server(tmp_path, RenamesOtherwise(tmp_path / "root", lambda source, target: None))
    assert found(report, Step.WRITING).state is State.FAILED
    assert "none has the new name" in found(report, Step.WRITING).found
    assert report.exit_code is not ExitCode.COMPLETE


async def test_bytes_that_change_on_the_server_are_noticed(tmp_path: Path) -> None:
    report = await on_server(tmp_path, BitFlip(offset=600_000))
    assert states(report)[Step.RATE] is State.FAILED
    assert "other bytes came back" in found(report, Step.RATE).found
    assert report.exit_code is ExitCode.INCOMPLETE


async def test_a_disk_that_fills_up_is_told(tmp_path: Path) -> None:
    report = await on_server(tmp_path, DiskFull(after=1_000_000))
    assert states(report)[Step.RATE] is State.FAILED
    assert "full" in found(report, Step.RATE).found


async def test_a_server_that_stops_answering_is_a_finding_and_holds_nobody_up(tmp_path: Path) -> None:
    report = await on_server(tmp_path, Hang(20), timeout=1.0)
    assert report.count(State.FAILED)
