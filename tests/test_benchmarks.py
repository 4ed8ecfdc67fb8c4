"""The benchmarks start, keep their results, and what they measure with tells the truth; no figure is judged."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import large_files
from benchmarks.contest import present
from benchmarks.measure import measured
from benchmarks.options import Options, options_from, parser
from benchmarks.peers import Peer, ours
from benchmarks.plots import Bars, Chart, Lines, draw
from benchmarks.report import Report, Table, publish
from benchmarks.sources import make_entries, make_files, make_noise, make_tree, read_once
from tests.sshd import find_sshd

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.sources import Amount

BENCHMARKS = ["cold_tree", "cost", "growth", "large_files", "latency", "next_night", "small_entries"]
BARS = Bars("Time", "seconds", {"a": {"wall": 1.0}, "b": {"wall": 2.0}})
LINES = Lines("Growth", "files", "seconds", {"left": {"a": [(1, 1), (2, 2)]}, "right": {"b": [(1, 2), (3, 4)]}})


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_answers_one_question_and_says_how_it_is_run(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        import_module(f"benchmarks.{name}").main(["--help"])
    told = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"python -m benchmarks.{name}" in told
    assert all(option in told for option in ("--small", "--runs", "--plot", "--append", "--scratch"))


@pytest.mark.skipif(find_sshd() is None, reason="no sshd on this machine")
def test_a_small_run_leaves_its_table_and_its_plot_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "RESULTS.md"
    with tempfile.TemporaryDirectory() as scratch:  # a short path: sockets have to fit into 108 bytes
        large_files.main(["--small", "--peers", "scp", "--scratch", scratch, "--append", str(results)])
        left = list(Path(scratch).iterdir())
    assert results.read_text().count("| async-backup: ") == capsys.readouterr().out.count("| async-backup: ") == 1
    assert (tmp_path / "plots/large_files.svg").stat().st_size > 0
    assert left == []


def report(text: str) -> Report:
    return Report("x", "Title", [Table(("peer", "s"), [(text, "1")])], {"tool": "1.2"})


def options(path: Path) -> Options:
    return options_from(parser("doc"), ["--small", "--append", str(path)])


def test_results_are_kept_in_place_of_earlier_ones_of_the_same_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "R.md"
    path.write_text("# Mine\n\nwords before\n")
    for text in ("first", "second"):
        publish(report(text), BARS, options(path))
    path.write_text(path.read_text() + "words after\n")
    publish(report("third"), BARS, options(path))
    kept = path.read_text()
    assert [word in kept for word in ("words before", "words after", "third", "first", "second")] == [True] * 3 + [
        False
    ] * 2
    assert f"`python -m benchmarks.x --small --append {path}`" in kept
    assert "![Title](plots/x.svg)" in kept


@pytest.mark.parametrize("chart", [BARS, LINES])
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_plot_is_the_same_for_the_same_figures(tmp_path: Path, chart: Chart, suffix: str) -> None:
    for name in ("a", "b"):
        draw(chart, tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_a_plot_names_its_title_and_its_unit(tmp_path: Path) -> None:
    draw(BARS, tmp_path / "a.svg")
    assert all(word in (tmp_path / "a.svg").read_text() for word in ("Time", "seconds"))


def test_cpu_time_is_split_between_a_process_and_those_below_it(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
    result = measured([sys.executable, "-c", parent], log=tmp_path / "log", look_at_memory=True)
    assert result.status == 0
    assert result.cpu - result.own >= 0.3
    assert result.own < result.cpu
    assert result.peak > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda root: make_tree(root, 100, 500_000),
        lambda root: make_noise(root, 2, 100_000),
        lambda root: make_entries(root, 3),
        lambda root: make_files(root, 30, in_one=10),
    ],
    ids=["tree", "noise", "entries", "files"],
)
def test_sources_follow_from_their_seed_and_hold_what_they_say(tmp_path: Path, make: Callable[[Path], Amount]) -> None:
    amounts = [make(tmp_path / "a"), make(tmp_path / "b")]
    assert amounts == [read_once(tmp_path / "a"), read_once(tmp_path / "b")]
    subprocess.run(["diff", "-r", tmp_path / "a", tmp_path / "b"], check=True)


def test_a_peer_that_is_not_installed_is_left_out_and_named() -> None:
    gone = Peer("gone", "not there", lambda *_: [], needs=("no-such-program",))
    peers, notes = present([ours(), gone])
    assert [peer.name for peer in peers] == ["async-backup"]
    assert notes == ["left out: gone, which needs no-such-program"]


def test_a_peer_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SystemExit, match="no such peer: nobody; there are async-backup"):
        present([ours()], ["nobody"])
