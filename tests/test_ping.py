"""Pings: a monitor is told what happened, through its own weaknesses, and can do no harm to the backup."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio import Event, fail_after
from hypothesis import given
from hypothesis import strategies as st

from async_backup.errors import SettingsError, Unreachable
from async_backup.events import RunEnded
from async_backup.hooks import attend, ping
from async_backup.hooks.attend import Attendance, attended
from async_backup.hooks.context import Surroundings
from async_backup.hooks.model import PingFailed
from async_backup.hooks.ping import Pinger, PingUrl
from async_backup.model import Committed, Entry, Problems, Report
from async_backup.remote.base import StoredDigest
from async_backup.ui.json_lines import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


class Monitor:
    """A monitor that keeps what it is told, and answers as its script says."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.answers: list[int] = []
        self.redirect = ""
        self.release = threading.Event()
        self.hangs = False
        self.address = ""

    def url(self, path: str) -> PingUrl:
        return PingUrl.parsed(self.address + path)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0))).decode()
        self.told.append((request.command, request.path, body))
        if self.hangs:
            self.release.wait()
        status = self.answers.pop(0) if self.answers else 200
        request.send_response(status)
        if 300 <= status < 400:
            request.send_header("Location", self.redirect)
        request.send_header("Content-Length", "0")
        request.end_headers()


@contextmanager
def running() -> Iterator[Monitor]:
    monitor = Monitor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            monitor.answer(self)

        do_POST = do_GET  # noqa: N815 # the name of http.server

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monitor.address = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield monitor
        finally:
            monitor.release.set()
            server.shutdown()
            serving.join()


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with running() as monitor:
        yield monitor


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping, "_PAUSES", (0.01, 0.01))


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "start"),
        [
            ("https://hc-ping.com/uuid", "https://hc-ping.com/uuid/start"),
            ("https://hc-ping.com/uuid/", "https://hc-ping.com/uuid/start"),
            ("http://h:81/ping?rid=1&b=/x#part", "http://h:81/ping/start?rid=1&b=/x"),
            ("https://[::1]:8/a", "https://[::1]:8/a/start"),
        ],
    )
    def test_an_ending_stands_behind_the_path_and_ahead_of_the_query(self, url: str, start: str) -> None:
        assert PingUrl.parsed(url).with_ending("/start") == start

    def test_only_the_host_is_ever_shown(self) -> None:
        url = PingUrl.parsed("https://hc-ping.com:81/secret?secret#secret")
        assert url.shown == "https://hc-ping.com:81/…"
        assert "secret" not in repr(url)

    @pytest.mark.parametrize(
        "text",
        [
            "file:///etc/passwd",
            "ftp://host/secret",
            "hc-ping.com/secret",
            "",
            "https:///secret",
            "https://host:port/secret",
            "https://host:99999/secret",
            "https://[::1/secret",
            "https://me:secret@host/x",
            "https://host/secret secret",
            "https://host/sécret",
            "https://host/\nsecret",
        ],
    )
    def test_what_is_no_web_address_is_refused_without_showing_it(self, text: str) -> None:
        with pytest.raises(SettingsError) as caught:
            PingUrl.parsed(text)
        assert "secret" not in str(caught.value)

    @given(st.text() | st.from_regex(r"https?://[\x20-\x7e]{1,30}", fullmatch=True))
    def test_any_text_is_a_url_or_a_settings_error(self, text: str) -> None:
        try:
            url = PingUrl.parsed(text)
        except SettingsError:
            return
        assert re.fullmatch(r"https?://[^/]+/…", url.shown)


async def told_success(url: PingUrl, summary: str = "all is well") -> list[PingFailed]:
    failures: list[PingFailed] = []
    pinger = Pinger(url, failures.append)
    with fail_after(60):
        await pinger.end(summary, is_success=True, start_grace=0)
    return failures


class TestDelivery:
    async def test_success_carries_the_summary(self, monitor: Monitor) -> None:
        assert await told_success(monitor.url("/ping/uuid?rid=1")) == []
        assert monitor.told == [("POST", "/ping/uuid?rid=1", "all is well")]

    async def test_one_that_fails_twice_is_asked_a_third_time(self, monitor: Monitor) -> None:
        monitor.answers = [500, 429]
        assert await told_success(monitor.url("/uuid")) == []
        assert len(monitor.told) == 3

    async def test_one_that_fails_for_good_becomes_a_warning_without_the_path(self, monitor: Monitor) -> None:
        monitor.answers = [503] * 9
        assert await told_success(monitor.url("/uuid")) == [
            PingFailed(f"{monitor.address}/…", "success", "HTTP status 503")
        ]
        assert len(monitor.told) == 3

    async def test_an_address_that_is_not_known_there_is_not_tried_again(self, monitor: Monitor) -> None:
        monitor.answers = [404]
        (failure,) = await told_success(monitor.url("/uuid"))
        assert failure.reason == "HTTP status 404"
        assert len(monitor.told) == 1

    async def test_nobody_there_is_a_warning(self) -> None:
        with running() as monitor:
            url = monitor.url("/uuid")
        assert [failure.reason for failure in await told_success(url)] == ["Connection refused"]

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirection_is_followed_with_the_summary(self, monitor: Monitor, status: int) -> None:
        monitor.answers, monitor.redirect = [status], f"{monitor.address}/moved"
        assert await told_success(monitor.url("/uuid")) == []
        assert monitor.told[1:] == [("POST", "/moved", "all is well")]

    async def test_after_see_other_the_new_place_is_only_looked_at(self, monitor: Monitor) -> None:
        monitor.answers, monitor.redirect = [303], "/seen"
        assert await told_success(monitor.url("/uuid")) == []
        assert monitor.told[1:] == [("GET", "/seen", "")]

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/uuid"])
    async def test_a_redirection_to_elsewhere_or_without_end_is_a_warning(self, monitor: Monitor, target: str) -> None:
        monitor.answers, monitor.redirect = [302] * 99, target
        (failure,) = await told_success(monitor.url("/uuid"))
        assert "uuid" not in failure.reason
        assert "passwd" not in failure.reason

    async def test_one_that_hangs_costs_no_more_than_the_deadline(
        self, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ping, "_DEADLINE", 0.3)
        monitor.hangs = True
        (failure,) = await told_success(monitor.url("/uuid"))
        assert failure.reason == "no answer within 0.3 s"

    async def test_one_that_does_not_answer_an_attempt_is_asked_again(
        self, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ping, "_ANSWER_WITHIN", 0.1)
        monitor.hangs = True
        (failure,) = await told_success(monitor.url("/uuid"))
        assert failure.reason == "no answer within 0.1 s"

    async def test_a_summary_without_end_is_cut(self, monitor: Monitor) -> None:
        assert await told_success(monitor.url("/uuid"), "x" * 1_000_000) == []
        assert len(monitor.told[0][2]) == 10_000


ENTRY = Entry(Path("/srv"), b"wiki", b"", b"wiki.tar.gz")
COMMITTED = Committed(ENTRY, 1, 1, 1, "aa", StoredDigest("aa", "md5sum"), Problems())
AROUND = Surroundings("run-1", "", (), {}, lambda ending: f"the summary of {type(ending).__name__}")


class TestRun:
    @pytest.mark.parametrize(("outcomes", "path"), [((COMMITTED,), "/u?rid=1"), ((), "/u/fail?rid=1")])
    async def test_a_run_is_told_at_its_start_and_at_its_end(
        self, monitor: Monitor, outcomes: tuple[Committed, ...], path: str
    ) -> None:
        events: list[object] = []
        attendance = Attendance(AROUND, line_of, ping=monitor.url("/u?rid=1"))
        async with attended(attendance, events.append, Event()) as listener:
            listener(RunEnded(Report(outcomes)))
        assert monitor.told == [("GET", "/u/start?rid=1", ""), ("POST", path, "the summary of Report")]
        assert events == [RunEnded(Report(outcomes))]

    async def test_an_error_is_told_as_a_failure(self, monitor: Monitor) -> None:
        attendance = Attendance(AROUND, line_of, ping=monitor.url("/u"))
        with pytest.raises(Unreachable):
            async with attended(attendance, lambda event: None, Event()):
                raise Unreachable("nas: no route")
        assert monitor.told[1:] == [("POST", "/u/fail", "the summary of Unreachable")]

    async def test_a_monitor_that_hangs_does_not_hold_up_a_run_that_was_stopped(
        self, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attend, "_STOP_WITHIN", 0.2)
        monitor.hangs = True
        stop = Event()
        stop.set()
        events: list[object] = []
        attendance = Attendance(AROUND, line_of, ping=monitor.url("/u"))
        with fail_after(60):
            async with attended(attendance, events.append, stop) as listener:
                listener(RunEnded(Report(is_interrupted=True)))
        assert events[1:] == [PingFailed(f"{monitor.address}/…", "fail", "there was no time left for it")]
