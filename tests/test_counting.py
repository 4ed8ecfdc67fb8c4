"""What is counted beside a run: near enough to the archives, and without a trace when it is ended."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from async_backup.archive.selection import Selection
from async_backup.counting import AllCounted, AllListed, Counted, Counter, Counting, count
from async_backup.scan import Source
from tests.archives import make_archive


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    made = random.Random(5)
    for name in ("one", "two", "caf\udce9"):
        (source / name / "deep" / "er").mkdir(parents=True)
        for number in range(40):
            (source / name / "deep" / f"{number}.txt").write_bytes(bytes(made.randrange(20_000)))
        (source / name / "deep" / "er" / "skip.tmp").write_bytes(bytes(500_000))
    (source / "file").write_bytes(bytes(70_000))
    os.link(source / "one" / "deep" / "1.txt", source / "one" / "link")
    os.symlink("/etc", source / "two" / "symlink")
    with (source / "two" / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    return source


def sizes(counting: Counting) -> dict[bytes, int]:
    return {news.place: news.size for news in count(counting) if isinstance(news, Counted) and news.size is not None}


@pytest.mark.parametrize("patterns", [(), ("*.tmp",), ("/deep/er/",)])
def test_what_is_counted_is_nearly_what_the_archives_have(
    tmp_path: Path, source: Path, patterns: tuple[str, ...]
) -> None:
    selection = Selection(patterns)
    counted = sizes(Counting((Source(source, b"src"),), selection))
    for name in os.listdir(os.fsencode(source)):
        archive = make_archive(source, name, tmp_path / "a.tar.gz", selection=selection)
        raw = sum(segment.raw_length for segment in archive.segments)
        assert counted[b"src/" + name] == pytest.approx(raw, rel=0.1)


def test_a_cache_counts_as_its_tag_alone(source: Path) -> None:
    (source / "one" / "CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55")
    whole = sizes(Counting((Source(source, b""),)))[b"/one"]
    tag = sizes(Counting((Source(source, b""),), Selection((), True)))[b"/one"]
    assert tag < 5000
    assert whole > 500_000


def test_entries_are_listed_before_sizes_are_counted_and_known_ones_are_not(source: Path) -> None:
    news = list(count(Counting((Source(source, b""),), only=("one", "two"), known={b"/two"})))
    listing = sorted(news[:2], key=str)
    assert listing == [Counted(b"/one", None), Counted(b"/two", None)]
    assert isinstance(news[2], AllListed)
    assert [type(item) for item in news[3:]] == [Counted, AllCounted]
    assert isinstance(news[3], Counted)
    assert news[3].place == b"/one"


def until_all_is_counted(counter: Counter) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    while True:
        for news in counter.news():
            if isinstance(news, AllCounted):
                counter.close()
                return found
            if isinstance(news, Counted) and news.size is not None:
                found[news.place] = news.size


def test_the_process_counts_the_same(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)
    counter = Counter(Counting((Source(Path("source"), b"src"),), Selection(("*.tmp",))))
    assert counter.news() == []
    counter.start()
    assert until_all_is_counted(counter) == sizes(Counting((Source(source, b"src"),), Selection(("*.tmp",))))
    counter.close()
    assert counter.news() == []


def test_a_source_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    counter = Counter(Counting((Source(tmp_path / "gone", b""),)))
    counter.start()
    assert until_all_is_counted(counter) == {}


def test_no_process_is_left_once_it_is_closed(source: Path) -> None:
    counter = Counter(Counting((Source(source, b""),)))
    counter.start()
    process = counter._process
    assert process is not None
    counter.close()
    assert process.returncode is not None
    counter.start()
    assert counter._process is None


def test_modules_of_the_working_directory_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'trap')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    counter = Counter(Counting((Source(tmp_path, b""),)))
    counter.start()
    assert set(until_all_is_counted(counter)) == {b"/json.py"}
    assert not (tmp_path / "trap").exists()
