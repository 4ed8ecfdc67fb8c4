"""What a benchmark says: which part holds a backup back, and which flags suit it, from scripted measurements."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.benching.advice import Advice, Bottleneck, advise, advise_after_sweep
from async_backup.benching.budget import Budget
from async_backup.benching.model import Grid
from async_backup.benching.results import NotMeasured, WholeJob
from async_backup.benching.sweep import sweep
from async_backup.config import Limits
from tests.benches import (
    MIB,
    compression,
    digest,
    job,
    packing,
    reading,
    round_trip,
    small_files,
    upload,
)

if TYPE_CHECKING:
    from async_backup.benching.results import Measurement

pytestmark = pytest.mark.anyio

OWN = Limits(processes=2)


def advice(*measurements: Measurement, processors: int = 2, limits: Limits = OWN) -> Advice:
    given = advise(measurements, limits, processors=processors)
    assert given is not None
    return given


FAST = (packing(600), upload(1, 1, 400), upload(4, 2, 500), digest(600), round_trip(0.2))


def test_without_a_whole_job_there_is_no_advice() -> None:
    assert advise(FAST, OWN, processors=2) is None


def test_packing_that_keeps_the_processors_busy_is_named() -> None:
    found = advice(packing(100), *FAST[1:], job(90))
    assert found.bottleneck is Bottleneck.CPU
    assert "2 packing processes" in found.explanation


def test_packing_that_waits_while_reading_waits_too_means_the_source_disk() -> None:
    slow_disk = reading(80, cpu_seconds=0.05), packing(90, cpu_seconds=0.3)
    assert advice(*slow_disk, *FAST[1:], job(80)).bottleneck is Bottleneck.SOURCE


def test_a_sample_in_memory_says_nothing_of_a_disk() -> None:
    warm = reading(80, cpu_seconds=0.05, cold=False), packing(90, cpu_seconds=0.3)
    assert advice(*warm, *FAST[1:], job(80)).bottleneck is not Bottleneck.SOURCE


def test_channels_that_are_full_while_more_would_carry_more_are_the_window() -> None:
    far = upload(1, 1, 38), upload(1, 2, 76), upload(4, 4, 500), round_trip(50)
    found = advice(packing(1200), *far, job(150), limits=Limits(processes=2, connections=1, channels=2))
    assert found.bottleneck is Bottleneck.WINDOW
    assert "50.0 ms" in found.explanation
    assert "2 MiB" in found.explanation
    assert (found.flags.connections, found.flags.channels) == (4, 4)


def test_channels_of_which_more_carry_no_more_are_the_line() -> None:
    full = upload(1, 1, 11), upload(4, 2, 11.5), upload(8, 4, 11.4), round_trip(20)
    found = advice(packing(600), *full, job(22))
    assert found.bottleneck is Bottleneck.LINE
    assert found.flags.connections * found.flags.channels == 2


def test_a_slow_line_asks_for_few_processes_and_a_higher_level() -> None:
    full = upload(1, 1, 10), upload(4, 2, 10), round_trip(20)
    levels = compression(1, 400, ratio=0.5), compression(6, 90, ratio=0.3)
    found = advice(packing(800), *full, *levels, job(19), processors=8)
    assert found.flags.processes == 1
    assert any("--level 6" in reason for reason in found.why)


def test_a_fast_line_asks_for_no_higher_level() -> None:
    levels = compression(1, 400, ratio=0.5), compression(6, 90, ratio=0.3)
    assert not any("--level" in reason for reason in advice(*FAST, *levels, job(500)).why)


def test_slow_digests_are_the_server() -> None:
    slow = digest(20), digest(30, at_once=4)
    assert advice(*FAST[:3], *slow, round_trip(0.2), job(55)).bottleneck is Bottleneck.SERVER


def test_a_digest_that_was_mostly_waiting_for_the_answer_says_nothing() -> None:
    found = advice(packing(600), upload(4, 2, 300), digest(1), round_trip(900), job(400))
    assert found.bottleneck is not Bottleneck.SERVER


def test_small_entries_over_a_long_way_wait_for_answers() -> None:
    far = round_trip(150), small_files(1, 2.1), small_files(64, 900), upload(4, 2, 270), digest(400)
    found = advice(packing(120, ratio=0.4), *far, job(5, entries=800, ratio=0.4))
    assert found.bottleneck is Bottleneck.ROUND_TRIPS
    assert found.flags.connections * found.flags.channels >= OWN.connections * OWN.channels


def test_small_entries_on_a_server_that_flushes_slowly_are_the_server() -> None:
    slow_disk = round_trip(0.3), small_files(1, 20), small_files(32, 30), upload(4, 2, 270), digest(400)
    found = advice(packing(120), *slow_disk, job(1, entries=160))
    assert found.bottleneck is Bottleneck.SERVER
    assert "flushes" in found.explanation


def test_a_sending_process_that_is_always_busy_is_named_where_no_part_explains_it() -> None:
    found = advice(*FAST, job(150, parent=9.9))
    assert found.bottleneck is Bottleneck.CPU
    assert "encrypts" in found.explanation


def test_busy_processors_are_named_where_no_part_explains_it() -> None:
    assert advice(*FAST, job(150, busy=0.97)).bottleneck is Bottleneck.CPU


def test_what_cannot_be_told_is_not_guessed() -> None:
    found = advice(*FAST, job(50, seconds=2.0))
    assert found.bottleneck is Bottleneck.UNCLEAR
    assert "2.0 s only" in found.explanation


def test_no_more_channels_are_recommended_than_carry_what_is_packed() -> None:
    lanes = upload(1, 1, 38), upload(1, 4, 150), upload(4, 2, 270), upload(8, 4, 280)
    found = advice(packing(200, ratio=0.5), *lanes, round_trip(50), job(150))
    assert (found.flags.connections, found.flags.channels) == (2, 4)
    assert any("second connection" in reason for reason in found.why)


def test_the_options_are_one_line_to_copy() -> None:
    found = advice(*FAST, job(400))
    assert found.options == "--workers 8 --processes 2 --connections 2 --channels 1"


def test_only_the_whole_job_is_enough_for_flags() -> None:
    found = advice(job(100), NotMeasured("uploads", "the line was cut"))
    assert found.options == "--workers 8 --processes 2 --connections 4 --channels 2"


@given(
    st.lists(
        st.one_of(
            st.builds(packing, st.floats(0.001, 1e4), cpu_seconds=st.none() | st.floats(0, 9)),
            st.builds(upload, st.integers(1, 9), st.integers(1, 8), st.floats(0.001, 1e4)),
            st.builds(digest, st.floats(0.001, 1e4), at_once=st.integers(1, 4)),
            st.builds(round_trip, st.floats(0.001, 5000)),
            st.builds(small_files, st.integers(1, 64), st.floats(0.2, 1e4)),
            st.builds(compression, st.sampled_from([1, 3, 6]), st.floats(0.001, 1e4), ratio=st.floats(0.01, 1.01)),
            st.builds(job, st.floats(0.001, 1e4), entries=st.integers(0, 10**6), ratio=st.floats(0.01, 1.01)),
        )
    ),
    st.integers(1, 64),
)
def test_any_measurements_give_flags_that_run_takes(measurements: list[Measurement], processors: int) -> None:
    given = advise(measurements, OWN, processors=processors)
    assert (given is None) == (not any(isinstance(one, WholeJob) for one in measurements))
    if given is not None:
        flags = given.flags
        Limits(flags.workers, flags.processes, flags.connections, flags.channels)


def test_after_a_sweep_the_fastest_flags_are_recommended() -> None:
    runs = [job(100, limits=Limits(workers=8, processes=2)), job(200, limits=Limits(workers=16, processes=2))]
    found = advise_after_sweep(runs)
    assert found is not None
    assert found.options == "--workers 16 --processes 2 --connections 4 --channels 2 --segment-size 4MiB"


def test_after_a_sweep_cheaper_flags_win_where_the_speed_is_the_same() -> None:
    cheap, dear = Limits(processes=1), Limits(processes=4)
    found = advise_after_sweep([job(200, limits=dear, packing=9.0), job(197, limits=cheap, packing=2.0)])
    assert found is not None
    assert found.flags.processes == 1


def test_after_a_sweep_without_a_run_there_is_no_advice() -> None:
    assert advise_after_sweep([]) is None


async def test_a_sweep_tries_one_flag_after_another_and_keeps_the_best_value() -> None:
    tried: list[tuple[int, int]] = []

    async def run(limits: Limits) -> WholeJob:
        tried.append((limits.workers, limits.connections))
        return job(limits.workers + 10 * limits.connections, limits=limits)

    base, grid = Limits(workers=8, connections=2), Grid(workers=(4, 8, 16), connections=(2, 4, 4, 1))
    await sweep(base, grid, run)
    assert tried == [(8, 2), (8, 4), (8, 1), (4, 4), (16, 4)]
    assert len(tried) == grid.runs(base)


async def test_a_sweep_goes_on_after_a_run_that_failed() -> None:
    tried: list[int] = []

    async def run(limits: Limits) -> WholeJob | NotMeasured:
        tried.append(limits.workers)
        return NotMeasured("it", "no room") if limits.workers == 8 else job(limits.workers, limits=limits)

    await sweep(Limits(workers=8), Grid(workers=(8, 16, 32)), run)
    assert tried == [8, 16, 32]


def test_time_that_a_step_does_not_use_goes_to_those_after_it() -> None:
    now = [0.0]
    budget = Budget(100, {"a": 1, "b": 1, "c": 2}, lambda: now[0])
    assert budget.take("a") == 25
    now[0] = 10
    assert budget.take("b") == 30
    now[0] = 80
    assert budget.take("c") == 20


def test_steps_that_are_left_out_leave_their_time() -> None:
    budget = Budget(100, {"a": 1, "b": 1, "c": 2}, lambda: 0.0)
    assert budget.take("c") == 100
    assert budget.left == 100


@pytest.mark.parametrize(("kind", "rate"), [*product(["packing", "upload"], [0, MIB])])
def test_nothing_measured_divides_by_zero(kind: str, rate: float) -> None:
    nothing = packing(rate / MIB, cpu_seconds=0.0) if kind == "packing" else upload(1, 1, rate / MIB)
    assert advice(nothing, job(1, entries=0)).flags.workers >= 1
