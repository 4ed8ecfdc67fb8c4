"""A benchmark against a real server: what it measures, and that the destination is afterwards as it was before."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import Event

from async_backup.benching import samples
from async_backup.benching.bench import bench
from async_backup.benching.budget import TimeLimit
from async_backup.benching.model import (
    BenchEnded,
    BenchEvent,
    BenchSettings,
    BenchStarted,
    Grid,
    LeftoverRemoved,
    Sample,
    SampleReady,
    StepStarted,
)
from async_backup.benching.results import (
    Compression,
    Hashing,
    NotMeasured,
    Packing,
    Reading,
    RoundTrip,
    ServerDigest,
    SmallFiles,
    Upload,
    WholeJob,
)
from async_backup.config import Destination, Limits
from async_backup.errors import BackupError, ExitCode, RemoteDenied, SettingsError, SourceError, Unreachable
from async_backup.remote.naming import RunId
from tests.other_servers import running_proftpd, running_rclone
from tests.proxy import FaultProxy
from tests.stores import calm_sshd, login, on_sshd

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

LIMITS = Limits(workers=4, processes=1, connections=2, channels=1, segment_size=1 << 20)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A destination in which something of others lies."""
    directory = tmp_path / "backups"
    (directory / ".bench.of.somebody.part").mkdir(parents=True)
    (directory / ".bench.of.somebody.part" / "precious").write_text("not ours")
    (directory / "wiki-2026-11-20T031500.tar.gz").write_bytes(b"an archive")
    return directory


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Samples of at most a few MiB, with a name of their own."""
    monkeypatch.setattr(samples, "MOST_SIZE", 4 << 20)
    monkeypatch.setattr(samples, "PREFIX", f"bench-{tmp_path.name}-")


def scratch(tmp_path: Path) -> list[Path]:
    """What is left of samples."""
    return list(Path(tempfile.gettempdir()).glob(f"bench-{tmp_path.name}-*"))


def world(directory: Path) -> dict[str, bytes | None]:
    return {
        os.path.relpath(path, directory): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def settings(server: Sshd, target: Path, *, seconds: float = 7, port: int | None = None) -> BenchSettings:
    return BenchSettings(on_sshd(server, target, port=port), login(server), LIMITS, seconds=seconds)


def kinds(events: list[BenchEvent]) -> set[type]:
    return {type(event) for event in events}


async def test_every_part_is_measured_then_the_whole_and_the_server_is_as_it_was(
    sshd: Sshd, target: Path, tmp_path: Path
) -> None:
    before, events = world(target), list[BenchEvent]()
    report = await bench(settings(sshd, target), events.append)
    parts = {Reading, Compression, Hashing, Packing, RoundTrip, Upload, ServerDigest, SmallFiles, WholeJob}
    assert kinds(events) >= parts | {BenchStarted, SampleReady, StepStarted, BenchEnded}
    assert events[-1] == BenchEnded(report)
    assert {one.level for one in report.measurements if isinstance(one, Compression)} == {1, 3, 6}
    assert {one.at_once for one in report.measurements if isinstance(one, SmallFiles)} == {1, 32}
    (whole,) = report.jobs
    assert whole.size > 0
    assert report.advice is not None
    assert report.exit_code == ExitCode.COMPLETE
    assert world(target) == before
    assert scratch(tmp_path) == []


@pytest.mark.parametrize("kind", Sample)
async def test_each_sample_is_backed_up(sshd: Sshd, target: Path, kind: Sample) -> None:
    before, events = world(target), list[BenchEvent]()
    report = await bench(replace(settings(sshd, target), sample=kind, sweep=Grid()), events.append)
    (whole,) = report.jobs
    (sample,) = [event for event in events if isinstance(event, SampleReady)]
    assert sample.is_generated
    assert sample.entries
    assert whole.entries > 0
    assert (whole.packed < 0.8 * whole.size) == (kind is not Sample.INCOMPRESSIBLE)
    assert world(target) == before


async def test_a_source_of_ones_own_is_only_read(sshd: Sshd, target: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "entry").mkdir(parents=True)
    (source / "entry" / "file").write_bytes(os.urandom(1 << 20))
    (source / "entry" / "fifo.link").symlink_to("/dev/zero")
    os.mkfifo(source / "entry" / "fifo")
    before = world(target)
    found = await bench(replace(settings(sshd, target), source=source))
    (reading,) = [one for one in found.measurements if isinstance(one, Reading)]
    assert (reading.files, reading.size) == (1, 1 << 20)
    assert found.jobs[0].entries == 1
    assert world(target) == before
    assert sorted(os.listdir(source / "entry")) == ["fifo", "fifo.link", "file"]


async def test_a_destination_that_was_missing_is_missing_again(sshd: Sshd, target: Path) -> None:
    before = world(target)
    report = await bench(replace(settings(sshd, target / "new" / "place"), sweep=Grid()))
    assert report.jobs
    assert world(target) == before


async def test_a_directory_that_was_made_stays_once_others_use_it(sshd: Sshd, target: Path) -> None:
    def put(event: BenchEvent) -> None:
        if isinstance(event, BenchStarted):
            (target / "new" / "theirs").write_text("kept")

    await bench(replace(settings(sshd, target / "new"), sweep=Grid()), put)
    assert world(target / "new") == {"theirs": b"kept"}


async def test_what_a_dead_benchmark_left_is_removed_and_nothing_else(sshd: Sshd, target: Path) -> None:
    alive = RunId.of_this_process()
    dead = replace(alive, start=alive.start - 1)
    running, left = (os.fsdecode(run.temporary_name(b"bench")) for run in (alive, dead))
    (target / running / "run-1").mkdir(parents=True)
    before, events = world(target), list[BenchEvent]()
    (target / left / "run-1").mkdir(parents=True)
    (target / left / "run-1" / "x.tar.gz").write_bytes(b"x")
    (target / left / "out").symlink_to(target / "wiki-2026-11-20T031500.tar.gz")
    await bench(replace(settings(sshd, target), sweep=Grid()), events.append)
    assert LeftoverRemoved(os.fsencode(target / left)) in events
    assert world(target) == before


async def test_a_sweep_runs_a_backup_for_each_value(sshd: Sshd, target: Path) -> None:
    before = world(target)
    grid = Grid(workers=(1, 4), connections=(1, 2))
    report = await bench(replace(settings(sshd, target, seconds=12), sweep=grid))
    flags = [(run.limits.connections, run.limits.workers) for run in report.jobs]
    assert flags[:2] == [(2, 4), (1, 4)]
    assert len(flags) == 3
    assert flags[2][1] == 1
    assert report.advice is not None
    assert report.advice.bottleneck is None
    assert world(target) == before


async def test_flags_for_which_there_is_no_room_cost_their_own_run_only(
    sshd: Sshd, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("async_backup.slots._reserve", refusing(64 << 20))
    report = await bench(replace(settings(sshd, target, seconds=9), sweep=Grid(segment_size=(1 << 20, 64 << 20))))
    assert len(report.jobs) == 1
    assert any("no room" in one.reason for one in report.measurements if isinstance(one, NotMeasured))


def refusing(most: int) -> Callable[[int], int]:
    from async_backup import slots
    from async_backup.errors import NoSpace

    reserve = slots._reserve

    def refuse(size: int) -> int:
        if size > most:
            raise NoSpace("no room here")
        return reserve(size)

    return refuse


@pytest.mark.parametrize("kind", [RoundTrip, Upload, SmallFiles, Packing])
async def test_stopped_in_the_middle_it_leaves_the_server_as_it_was(
    sshd: Sshd, target: Path, tmp_path: Path, kind: type
) -> None:
    before, stop, events = world(target), Event(), list[BenchEvent]()

    def listen(event: BenchEvent) -> None:
        events.append(event)
        if isinstance(event, kind):
            stop.set()

    report = await bench(settings(sshd, target, seconds=20), listen, stop=stop)
    assert report.is_interrupted
    assert report.exit_code == ExitCode.INTERRUPTED
    assert WholeJob not in kinds(events)
    assert world(target) == before
    assert scratch(tmp_path) == []


async def test_stopped_in_the_whole_job_it_leaves_the_server_as_it_was(sshd: Sshd, target: Path) -> None:
    before, stop = world(target), Event()

    async def stop_once_archives_are_there(tasks: anyio.abc.TaskGroup) -> None:
        while not list(target.glob(".bench.*/whole/*")):  # noqa: ASYNC110  (no event tells)
            await anyio.sleep(0.005)
        stop.set()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_once_archives_are_there, tasks)
        with anyio.CancelScope(shield=True):
            report = await bench(settings(sshd, target, seconds=8), stop=stop)
    assert report.is_interrupted
    assert world(target) == before


async def test_a_bug_in_a_listener_leaves_the_server_as_it_was(sshd: Sshd, target: Path) -> None:
    before = world(target)

    def fail(event: BenchEvent) -> None:
        if isinstance(event, Upload):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await bench(settings(sshd, target), fail)
    assert world(target) == before


async def test_a_server_without_a_shell_has_its_digests_read_back(target: Path, tmp_path: Path) -> None:
    with calm_sshd(tmp_path / "server", options=["ForceCommand internal-sftp"]) as server:
        report = await bench(settings(server, target))
    (one, *_) = [found for found in report.measurements if isinstance(found, ServerDigest)]
    assert one.computed_by == "readback"
    assert one.reason
    assert report.jobs


async def test_a_server_that_opens_few_channels_is_measured_with_those(target: Path, tmp_path: Path) -> None:
    with calm_sshd(tmp_path / "server", options=["MaxSessions 1"]) as server:
        few = replace(settings(server, target, seconds=8), limits=replace(LIMITS, channels=2))
        report = await bench(few)
    refused = [one for one in report.measurements if isinstance(one, NotMeasured) and "channels" in one.what]
    assert refused
    assert all(one.channels == 1 for one in report.measurements if isinstance(one, Upload))
    assert report.jobs


@pytest.mark.parametrize("overwrite", ["on", "off"])
async def test_a_server_that_opens_a_file_once_is_measured_with_several_files(tmp_path: Path, overwrite: str) -> None:
    base = tmp_path / "proftpd"
    base.mkdir()
    with running_proftpd(base, options=[f"AllowOverwrite {overwrite}"]) as server:
        (base / "d").mkdir()
        report = await bench(BenchSettings(on_sshd(server, Path("/d")), login(server), LIMITS, seconds=7))
        assert any(isinstance(one, Upload) for one in report.measurements)
        assert not any(isinstance(one, NotMeasured) and "upload" in one.what for one in report.measurements)
        assert world(base / "d") == {}


async def test_a_server_that_takes_files_in_order_is_measured_so(tmp_path: Path) -> None:
    base = tmp_path / "rclone"
    base.mkdir()
    with running_rclone(base) as server:
        report = await bench(BenchSettings(on_sshd(server, Path("/d")), login(server), LIMITS, seconds=7))
    assert any(isinstance(one, Upload) for one in report.measurements)
    assert world(base / "root") == {}


async def test_a_slow_line_is_measured_in_its_time_too(sshd: Sshd, target: Path) -> None:
    before = world(target)
    async with FaultProxy(sshd.port) as proxy:
        proxy.rate, proxy.delay = 400_000, 0.025
        report = await bench(settings(sshd, target, seconds=10, port=proxy.port))
    assert [one for one in report.measurements if isinstance(one, Upload)]
    assert not report.leftovers
    assert world(target) == before


async def test_without_a_server_nothing_is_measured(sshd: Sshd, target: Path) -> None:
    nobody = replace(settings(sshd, target), destination=Destination("127.0.0.1", b"/backups", "nobody", 1))
    events: list[BenchEvent] = []
    with pytest.raises(Unreachable):
        await bench(nobody, events.append)
    assert events == []


async def test_a_destination_that_is_a_file_is_an_error_and_stays(sshd: Sshd, target: Path) -> None:
    before = world(target)
    with pytest.raises(BackupError, match="not a directory"):
        await bench(settings(sshd, target / "wiki-2026-11-20T031500.tar.gz"))
    assert world(target) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_destination_that_cannot_be_written_to_is_an_error(sshd: Sshd, target: Path) -> None:
    target.chmod(0o500)
    with pytest.raises(RemoteDenied):
        await bench(settings(sshd, target))
    target.chmod(0o700)


async def test_a_source_that_is_not_there_is_an_error_before_anything_else(sshd: Sshd, target: Path) -> None:
    with pytest.raises(SourceError):
        await bench(replace(settings(sshd, target), source=Path("/nowhere")))


@pytest.mark.parametrize("seconds", [0, -1, 4.9, 1e9, float("nan"), float("inf")])
def test_a_time_without_sense_is_refused(seconds: float) -> None:
    with pytest.raises(SettingsError, match="seconds"):
        BenchSettings(Destination("host", b"/b"), seconds=seconds)


def test_a_sweep_that_does_not_fit_into_its_time_is_refused() -> None:
    with pytest.raises(SettingsError, match="--seconds"):
        BenchSettings(Destination("host", b"/b"), seconds=10, sweep=Grid(workers=(1, 2, 3, 4, 5, 6)))


@pytest.mark.parametrize("grid", [{"workers": (0,)}, {"channels": (9,)}, {"workers": tuple(range(1, 99))}])
def test_values_that_run_would_not_take_are_refused(grid: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(SettingsError):
        Grid(**grid)


@pytest.mark.parametrize("kind", Sample)
def test_a_sample_has_the_size_that_was_asked_for(tmp_path: Path, kind: Sample) -> None:
    made = samples.make_sample(tmp_path / "sample", kind, 3 << 20, TimeLimit(60))
    files = [path for path in (tmp_path / "sample").rglob("*") if path.is_file()]
    assert made.size == sum(path.stat().st_size for path in files)
    assert 3 << 20 <= made.size <= 5 << 20
    assert made.files == len(files)
    assert made.entries == len(os.listdir(tmp_path / "sample"))


@pytest.mark.parametrize("kind", Sample)
def test_a_sample_that_is_out_of_time_has_at_least_something(tmp_path: Path, kind: Sample) -> None:
    made = samples.make_sample(tmp_path / "sample", kind, 1 << 30, TimeLimit(0))
    assert 0 < made.size < 64 << 20
