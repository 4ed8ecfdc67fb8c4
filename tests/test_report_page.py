"""The page about a run: what it tells, that text stays text, and how a browser shows it."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.member import Problem, ProblemKind
from async_backup.config import Destination, Settings
from async_backup.errors import ConnectionDropped, RemoteFull, SourceError, Unreachable
from async_backup.events import (
    AttemptFailed,
    Connected,
    DestinationLost,
    EntrySkipped,
    LeftoverRemoved,
    SegmentPacked,
    SegmentSent,
    SourceEmpty,
)
from async_backup.model import Interrupted, Problems
from async_backup.text import shown
from async_backup.ui.page.facts import ENTRIES_LISTED, ITEMS_LISTED
from async_backup.ui.page.html import Html, element
from async_backup.ui.page.style import STYLE
from async_backup.ui.page.writer import PageWriter
from tests.browser import Browser, text_of
from tests.command import backup_command, finished
from tests.histories import NAS, SITE, committed, entry, failed, run, tell

if TYPE_CHECKING:
    from async_backup.events import Event
    from tests.sshd import Sshd

HOSTILE = b"<script>document.title='run'</script><img src=x onerror=alert(1)>\"'&\n\x1b[31m\xff" + "\u202e".encode()
LOSS = Problem(b"wiki/<i>\x07", ProblemKind.CHANGED, "it grew")
SOCKET = Problem(b"wiki/socket", ProblemKind.SKIPPED, "a socket")


def page_of(path: Path, events: list[Event], settings: object = None, profile: str = "nightly") -> str:
    seconds = iter(range(1_000_000))
    tell(PageWriter(path, settings, profile, warn=pytest.fail, clock=lambda: next(seconds) / 10), events)
    return path.read_text(encoding="utf-8")


def eventful() -> list[Event]:
    """A run in which about everything happened."""
    partial = Problems().plus(LOSS, is_loss=True).plus(SOCKET, is_loss=False)
    return run(
        committed(b"home", raw_size=7 << 20),
        committed(b"home", SITE, raw_size=7 << 20),
        committed(problems=partial),
        failed(HOSTILE, SITE, RemoteFull("site: <b>no room left</b>")),
        Interrupted(entry(b"late"), NAS),
        to=(NAS, SITE),
        before_the_end=[
            Connected("nas", b"/backups", "md5sum", "", NAS),
            Connected("site", b"/b", "readback", "there is no shell", SITE),
            LeftoverRemoved(b"/backups/.dead.part"),
            EntrySkipped(b"/srv/cache", "excluded"),
            SourceEmpty(b"/mnt/disk", 0),
            AttemptFailed(entry(b"home"), ConnectionDropped("lost for a moment"), 1, SITE),
            SegmentPacked(entry(b"home"), 7 << 20, 1 << 20),
            SegmentSent(entry(b"home"), 1 << 20, NAS),
            DestinationLost(SITE, Unreachable("site: no route")),
        ],
        source_errors=(SourceError("/root: Permission denied"),),
        leftovers=(".wiki.part",),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.html"


@dataclass
class Parsed:
    """The elements of a page in their order, with attributes, and its text."""

    elements: list[tuple[str, dict[str, str | None]]]
    text: list[str]

    @classmethod
    def of(cls, page: str) -> Parsed:
        found = cls([], [])

        class Parser(HTMLParser):
            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                found.elements.append((tag, dict(attrs)))

            def handle_data(self, data: str) -> None:
                found.text.append(data)

        Parser().feed(page)
        return found

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@given(st.lists(st.binary() | st.text()), st.text())
def test_no_text_becomes_markup(content: list[bytes | str], attribute: str) -> None:
    parsed = Parsed.of(element("p", *content, class_=attribute))
    assert parsed.elements == [("p", {"class": shown(attribute)})]
    assert "".join(parsed.text) == "".join(map(shown, content))


def test_markup_stays_markup_until_it_is_part_of_a_text() -> None:
    bold = element("b", "x<y")
    assert element("p", bold, "&") == "<p><b>x&lt;y</b>&amp;</p>"
    assert "&lt;b&gt;" in element("p", f"{bold}")
    assert isinstance(bold, Html)


def test_failures_and_warnings_come_first_and_all_is_told(path: Path) -> None:
    text = text_of(page_of(path, eventful()))
    in_order = [
        "Backup of nightly",
        "Incomplete: some entries or files were not backed up (exit code 3).",
        "Entries committed everywhere 2 of 4",
        "Lost destinations (1)",
        "off@site:/b: site: no route",
        "Sources that could not be listed (1)",
        "/root: Permission denied",
        "Entries that were NOT backed up (1)",
        "site: <b>no room left</b>",
        "Entries that were not committed (1)",
        "/srv/late at me@nas:/backups",
        "Entries with files that were not backed up as they were (1)",
        "wiki/<i>\\x07: it grew (changed)",
        "Sources with nothing to back up (1)",
        "/mnt/disk",
        "Attempts that failed and were made again (1)",
        "lost for a moment",
        "Left on the server, to be removed by the next run (1)",
        ".wiki.part",
        "Removed from the server: left by a run that died (1)",
        "/backups/.dead.part",
        "Destinations",
        "md5sum on the server",
        "reading back (there is no shell)",
        "Rates",
        "MiB/s",
        "time since the start, s",
        "Slowest entries",
        "Largest entries",
        "All entries (4)",
        "Skipped (2)",
        "/srv/cache (excluded)",
        "/srv/wiki/socket (a socket)",
        "Versions",
        "asyncssh",
    ]
    rest = text
    for words in in_order:
        _, found, rest = rest.partition(words)
        assert found, f"{words!r} is missing, or comes too early, in {text}"


def test_a_good_run_says_that_nothing_needs_attention(path: Path) -> None:
    text = text_of(page_of(path, run(committed())))
    assert "Complete: all entries were committed whole (exit code 0)." in text
    assert "Nothing failed, and there are no warnings." in text
    assert "Lost" not in text


def test_a_run_that_could_not_even_report_has_a_page(path: Path) -> None:
    error = Unreachable("nas: no route to host")
    error.add_note("is the VPN up?")
    PageWriter(path, warn=pytest.fail).failed(error)
    text = text_of(path.read_text())
    assert "Failed: the run could not be done (exit code 1)." in text
    assert "nas: no route to host; is the VPN up?" in text


def test_settings_are_listed_without_what_is_not_set(path: Path) -> None:
    settings = Settings((Path("/srv"), Path("/home")), (Destination("nas", b"/b\xff"), Destination("site", b"x")))
    text = text_of(page_of(path, run(committed()), settings))
    assert "sources /srv, /home" in text
    assert "destinations nas:/b\\xff, site:x" in text
    assert "segment size 4.0 MiB" in text
    assert "checksum file yes" in text
    assert "ask passphrase" not in text
    assert "known hosts" not in text
    assert "None" not in text


def test_a_hundred_thousand_entries_still_give_a_page_that_opens(path: Path) -> None:
    outcomes = [committed(b"%d" % size, raw_size=size) for size in range(100_000)]
    losses = [failed(b"bad %d" % number) for number in range(ITEMS_LISTED + 5)]
    page = page_of(path, run(*outcomes, *losses))
    text = text_of(page)
    assert len(page) < 2_000_000
    assert f"Entries that were NOT backed up ({ITEMS_LISTED + 5})" in text
    assert "and 5 more." in text
    assert "All entries (100,105)" in text
    assert f"{100_105 - ENTRIES_LISTED:,} more are not listed" in text
    listed = text[text.index("All entries") :]
    assert "/srv/99999 " in listed
    assert f"/srv/bad {ITEMS_LISTED + 4} " in listed
    assert "/srv/1 " not in listed


def test_the_page_needs_nothing_from_elsewhere_and_forbids_it(path: Path) -> None:
    parsed = Parsed.of(page_of(path, eventful()))
    assert {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in parsed.elements} == set()
    attributes = {name for _, attributes in parsed.elements for name in attributes}
    assert not {"src", "href", "style", "srcset"} & attributes
    assert not [name for name in attributes if name.startswith("on")]
    policies = [meta["content"] for meta in parsed.named("meta") if "http-equiv" in meta]
    assert len(policies) == 1
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]+'; base-uri 'none'; form-action 'none'", policies[0] or ""
    )


def test_the_page_can_be_read_without_seeing_it(path: Path) -> None:
    parsed = Parsed.of(page_of(path, eventful()))
    assert parsed.named("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert {header.get("scope") for header in parsed.named("th")} == {"row", "col"}
    (drawing,) = parsed.named("svg")
    assert drawing["role"] == "img"
    ids = {attributes["id"] for attributes in parsed.named("title", "desc") if "id" in attributes}
    assert set((drawing["aria-labelledby"] or "").split()) == ids
    assert all(region["aria-label"] for region in parsed.named("div") if region.get("role") == "region")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser.found(tmp_path_factory.mktemp("browser"))


def test_a_browser_shows_hostile_names_as_text_and_complains_of_nothing(browser: Browser, path: Path) -> None:
    page_of(path, eventful())
    loaded = browser.load(path)
    assert loaded.console == []
    assert "<script" not in loaded.dom
    assert "<img" not in loaded.dom
    assert f"/srv/{shown(HOSTILE)}" in text_of(loaded.dom)
    assert "<title>Incomplete: backup of nightly, 2026-11-25 03:15</title>" in loaded.dom


def test_a_script_that_came_into_the_page_would_not_run(browser: Browser, path: Path) -> None:
    page = page_of(path, eventful())
    path.write_text(page.replace("</main>", "</main><script>document.title = 'run'</script>"))
    loaded = browser.load(path)
    assert "<title>run" not in loaded.dom
    assert any("Content Security Policy" in line for line in loaded.console)


@pytest.mark.parametrize("width", [390, 320, 1200])
def test_the_page_is_not_wider_than_the_window(browser: Browser, path: Path, width: int) -> None:
    long = [committed(b"x" * 255, SITE), committed(b"word " * 40, SITE)]
    events = eventful()
    page_of(path, [*events[:-1], *run(*long, to=(NAS, SITE))[1:-1], events[-1]])
    assert browser.overflow(path, width) == 0


@pytest.mark.parametrize(
    ("dark", "background", "bad"), [(False, (255, 255, 255), (164, 38, 44)), (True, (20, 23, 26), (255, 154, 145))]
)
def test_the_page_is_painted_light_and_dark(
    browser: Browser, path: Path, *, dark: bool, background: tuple[int, int, int], bad: tuple[int, int, int]
) -> None:
    page_of(path, eventful())
    colours = browser.colours(path, dark=dark)
    assert colours.most_common(1)[0][0] == background
    assert len(colours) > 10
    assert colours[bad] > 100


def test_the_command_line_writes_a_page(sshd: Sshd, tmp_path: Path, path: Path) -> None:
    (tmp_path / "src/a<b>").mkdir(parents=True)
    (tmp_path / "src/a<b>/file").write_bytes(b"content" * 1000)
    command = backup_command(sshd, tmp_path / "src", "--report", str(path), to=tmp_path / "dst")
    assert finished(command, tmp_path).returncode == 0
    text = text_of(path.read_text())
    assert "Entries committed 1 of 1" in text
    assert "/src/a<b> committed" in text
    assert "Rates" in text


def test_an_impossible_directory_is_told_before_anything_is_sent(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    command = backup_command(sshd, tmp_path, "--report", str(tmp_path / "no/x.html"), to=tmp_path / "dst")
    done = finished(command, tmp_path)
    assert (done.returncode, "there is no directory" in done.stderr) == (2, True)
    assert not (tmp_path / "dst").exists()


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1) of #rgb or #rrggbb."""
    digits = colour.removeprefix("#")
    doubled = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    channels = [int(doubled[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_what_is_behind_them(scheme: int) -> None:
    colours = dict(re.findall(r"--(\w+):(#\w+)", re.findall(r":root\{([^}]*)\}", STYLE)[scheme]))
    for behind in ("bg", "card"):
        for text in ("fg", "dim", "good", "warn", "bad"):
            assert _contrast(colours[text], colours[behind]) >= 4.5, (text, behind)
    for line in ("read", "sent"):
        assert _contrast(colours[line], colours["bg"]) >= 3
