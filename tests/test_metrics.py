"""Metrics of a run as Prometheus reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from async_backup.archive.member import Problem, ProblemKind
from async_backup.config import Destination
from async_backup.errors import RemoteFull, SettingsError, SourceError, Unreachable
from async_backup.events import DestinationLost, SourceEmpty
from async_backup.model import Interrupted, Problems
from async_backup.text import shown
from async_backup.ui.earlier_successes import earlier_successes
from async_backup.ui.exposition import exposition
from async_backup.ui.gauges import ENTRIES_LIMIT, gauges
from async_backup.ui.metrics import Metrics
from async_backup.ui.run_record import RunRecord
from tests.command import backup_command, finished
from tests.histories import NAS, SITE, committed, entry, failed, run, tell

if TYPE_CHECKING:
    from async_backup.errors import BackupError
    from async_backup.events import Event
    from tests.sshd import Sshd

LOSS = Problems().plus(Problem(b"wiki/x", ProblemKind.CHANGED, "it grew"), is_loss=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "backup.prom"


class Samples(dict[str, float]):
    """Values by `name` or `name{destination,entry}`, whichever labels there are; the profile is left out."""

    @classmethod
    def of(cls, text: str) -> Samples:
        found = cls()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = [
                    sample.labels[label] for label in ("destination", "entry", "outcome") if label in sample.labels
                ]
                name = sample.name.removeprefix("async_backup_")
                key = f"{name}{{{','.join(labels)}}}" if labels else name
                assert key not in found
                found[key] = sample.value
        return found


def written(path: Path, events: list[Event], now: float = 1000.0, profile: str = "nightly") -> Samples:
    tell(Metrics(path, profile, warn=pytest.fail, now=lambda: now), events)
    return Samples.of(path.read_text())


def after_error(path: Path, error: BackupError, now: float) -> Samples:
    Metrics(path, "nightly", warn=pytest.fail, now=lambda: now).failed(error)
    return Samples.of(path.read_text())


def test_a_run_in_numbers(path: Path) -> None:
    found = written(
        path,
        run(
            committed(raw_size=5000, attempts=2),
            committed(b"mail", raw_size=500, problems=LOSS),
            failed(b"db"),
            Interrupted(entry(b"home"), NAS),
            before_the_end=[SourceEmpty(b"/mnt", 0)],
            source_errors=(SourceError("x"),),
        ),
    )
    del found["last_run_duration_seconds"]
    assert found == {
        "build_info": 1,
        "last_run_timestamp_seconds": 1000,
        "last_run_exit_code": 3,
        "source_errors": 1,
        "empty_sources": 1,
        "entries_without_gauges": 0,
        f"destination_lost{{{NAS}}}": 0,
        f"entries{{{NAS},committed}}": 2,
        f"entries{{{NAS},failed}}": 1,
        f"entries{{{NAS},interrupted}}": 1,
        f"source_bytes{{{NAS}}}": 5500,
        f"stored_bytes{{{NAS}}}": 1100,
        f"members{{{NAS}}}": 6,
        f"problem_files{{{NAS}}}": 1,
        f"entry_failures{{{NAS},/srv/wiki}}": 1,
        f"entry_failures{{{NAS},/srv/mail}}": 0,
        f"entry_failures{{{NAS},/srv/db}}": 3,
        f"entry_problem_files{{{NAS},/srv/wiki}}": 0,
        f"entry_problem_files{{{NAS},/srv/mail}}": 1,
        f"entry_source_bytes{{{NAS},/srv/wiki}}": 5000,
        f"entry_source_bytes{{{NAS},/srv/mail}}": 500,
        f"entry_stored_bytes{{{NAS},/srv/wiki}}": 1000,
        f"entry_stored_bytes{{{NAS},/srv/mail}}": 100,
        f"entry_last_success_timestamp_seconds{{{NAS},/srv/wiki}}": 1000,
    }


def test_each_gauge_says_what_it_is_and_carries_the_profile(path: Path) -> None:
    written(path, run(committed(), failed(b"db")))
    text = path.read_text()
    names = set(re.findall(r"^(\w+)\{", text, re.MULTILINE))
    assert len(names) > 15
    for name in names:
        assert re.fullmatch(r"async_backup_[a-z_]+", name)
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} gauge\n" in text
    samples = [line for line in text.splitlines() if not line.startswith(("#", "async_backup_build_info"))]
    assert all('profile="nightly"' in line for line in samples)


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool on this machine")
def test_promtool_has_nothing_to_say(path: Path) -> None:
    written(path, run(committed(b'q"\n\\\xff'), failed(b"db"), failed(at=SITE), to=(NAS, SITE)))
    done = subprocess.run(["promtool", "check", "metrics"], input=path.read_bytes(), capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@given(st.sets(st.binary(min_size=1, max_size=8), max_size=4), st.text(max_size=8))
def test_whatever_entries_and_profiles_are_called_it_reads_back(names: set[bytes], profile: str) -> None:
    record = RunRecord()
    tell(record.add, run(*(committed(name) for name in names), to=("a\\b\"\n'",)))
    text = exposition(gauges(record, shown(profile), 1.0, earlier_successes(Path("/nonexistent"), ""))).decode()
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    labels = [sample.labels for sample in families["async_backup_entry_source_bytes"]]
    assert {label["entry"] for label in labels} == {shown(entry(name).path) for name in names}
    assert {label.get("profile") for label in labels} <= {shown(profile)}


def test_a_failed_run_keeps_the_time_of_the_last_success(path: Path) -> None:
    written(path, run(committed()), now=1000.0)
    found = written(path, run(failed()), now=2000.0)
    assert found[f"last_success_timestamp_seconds{{{NAS}}}"] == 1000
    assert found[f"entry_last_success_timestamp_seconds{{{NAS},/srv/wiki}}"] == 1000
    assert found["last_run_timestamp_seconds"] == 2000
    found = after_error(path, Unreachable("nas"), now=3000.0)
    assert found[f"last_success_timestamp_seconds{{{NAS}}}"] == 1000
    assert found[f"entry_last_success_timestamp_seconds{{{NAS},/srv/wiki}}"] == 1000
    assert found["last_run_exit_code"] == 1


@pytest.mark.parametrize("name", [b'it\'s "q"', b"line\nbreak", b"caf\xe9", b"back\\slash", "ü\\ß".encode()])
def test_it_is_kept_for_any_name(path: Path, name: bytes) -> None:
    to = ('n"as:\\b',)
    written(path, run(committed(name, *to), to=to), now=1000.0, profile='we"ekly\n')
    found = written(path, run(failed(name, *to), to=to), now=2000.0, profile='we"ekly\n')
    key = f"{{{shown(to[0])},{shown(entry(name).path)}}}"
    assert found[f"entry_last_success_timestamp_seconds{key}"] == 1000


def test_success_is_told_for_each_destination(path: Path) -> None:
    both = (NAS, SITE)
    written(path, run(committed(), committed(at=SITE), to=both), now=1000.0)
    lost = [DestinationLost(SITE, Unreachable("site"))]
    found = written(path, run(committed(), failed(at=SITE), to=both, before_the_end=lost), now=2000.0)
    assert found[f"last_success_timestamp_seconds{{{NAS}}}"] == 2000
    assert found[f"last_success_timestamp_seconds{{{SITE}}}"] == 1000
    assert [found[f"destination_lost{{{at}}}"] for at in both] == [0, 1]


@pytest.mark.parametrize(
    "events",
    [
        run(committed(), is_interrupted=True),
        run(committed(), source_errors=(SourceError("x"),)),
        run(committed(problems=LOSS)),
        run(committed(), before_the_end=[DestinationLost(NAS, Unreachable("nas"))]),
    ],
    ids=["interrupted", "a source not listed", "a file lost", "the destination lost"],
)
def test_only_a_whole_run_is_a_success(path: Path, events: list[Event]) -> None:
    assert f"last_success_timestamp_seconds{{{NAS}}}" not in written(path, events)


def test_what_is_gone_is_forgotten_once_a_run_has_seen_all(path: Path) -> None:
    written(path, run(committed(b"old"), committed(at=SITE), to=(NAS, SITE)), now=1000.0)
    stopped = written(path, run(committed(b"new"), is_interrupted=True), now=2000.0)
    assert stopped[f"entry_last_success_timestamp_seconds{{{NAS},/srv/old}}"] == 1000
    assert not [key for key in stopped if SITE in key]
    whole = written(path, run(committed(b"new")), now=3000.0)
    assert not [key for key in whole if "old" in key]


def test_another_profiles_success_is_not_ours(path: Path) -> None:
    written(path, run(committed()), profile="weekly")
    assert f"last_success_timestamp_seconds{{{NAS}}}" not in written(path, run(failed()))


@given(st.binary(max_size=300), st.text(max_size=20))
def test_a_damaged_file_is_no_obstacle(tmp_path_factory: pytest.TempPathFactory, noise: bytes, value: str) -> None:
    path = tmp_path_factory.mktemp("prom") / "x.prom"
    sample = f'async_backup_last_success_timestamp_seconds{{destination="{NAS}",profile="nightly"}}'
    path.write_bytes(noise + f"\n{sample} {value}\n".encode("utf-8", "replace") + f"{sample} 7\n".encode() + noise)
    found = written(path, run(failed()))
    assert found["last_run_exit_code"] == 3


def test_a_good_line_in_a_damaged_file_counts(path: Path) -> None:
    sample = f'async_backup_last_success_timestamp_seconds{{destination="{NAS}",profile="nightly"}}'
    path.write_bytes(b"\xff\x00{{\n" + f"{sample} 7\n{sample} NaN\n{sample} x\n".encode() + b'half_a_line{a="')
    assert written(path, run(failed()))[f"last_success_timestamp_seconds{{{NAS}}}"] == 7


def test_many_entries_cost_a_bounded_number_of_series_and_failures_come_first(path: Path) -> None:
    outcomes = [committed(b"%d" % size, raw_size=size) for size in range(5 * ENTRIES_LIMIT)]
    small = replace(failed(b"small"), error=RemoteFull("x"))
    found = written(path, run(*outcomes, small))
    with_gauges = [key for key in found if key.startswith("entry_failures")]
    assert len(with_gauges) == ENTRIES_LIMIT
    assert f"entry_failures{{{NAS},/srv/small}}" in found
    assert f"entry_failures{{{NAS},/srv/{5 * ENTRIES_LIMIT - 1}}}" in found
    assert f"entry_failures{{{NAS},/srv/0}}" not in found
    assert found["entries_without_gauges"] == 4 * ENTRIES_LIMIT + 1
    assert len([key for key in found if key.startswith("entry_")]) <= 5 * ENTRIES_LIMIT


def test_a_name_that_node_exporter_would_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"does not end in \.prom"):
        Metrics(tmp_path / "metrics.txt", warn=pytest.fail)


def test_without_the_extra_it_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "async_backup.ui.exposition")
    with pytest.raises(SettingsError, match=re.escape("pip install 'async-backup[metrics]'")):
        Metrics(path, warn=pytest.fail)


def test_the_command_line_writes_them(sshd: Sshd, tmp_path: Path, path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a").write_bytes(b"content")
    (tmp_path / "dst").mkdir()
    command = backup_command(sshd, tmp_path / "src", "--metrics", str(path), to=tmp_path / "dst")
    assert finished(command, tmp_path).returncode == 0
    found = Samples.of(path.read_text())
    at = str(Destination.parse(sshd.destination(tmp_path / "dst")))
    assert found[f"entries{{{at},committed}}"] == 1
    shutil.rmtree(tmp_path / "dst")
    (tmp_path / "dst").write_bytes(b"in the way")
    assert finished(command, tmp_path).returncode == 1
    again = Samples.of(path.read_text())
    assert again["last_run_exit_code"] == 1
    success = f"last_success_timestamp_seconds{{{at}}}"
    assert again[success] == found[success]


def test_an_impossible_directory_is_told_before_anything_is_sent(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    command = backup_command(sshd, tmp_path, "--metrics", str(tmp_path / "no/x.prom"), to=tmp_path / "dst")
    done = finished(command, tmp_path)
    assert (done.returncode, "there is no directory" in done.stderr) == (2, True)
    assert not (tmp_path / "dst").exists()
