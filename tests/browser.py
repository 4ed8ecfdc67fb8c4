"""Headless Chromium: what a page looks like, what it holds once it is loaded, and what the console says."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import zlib
from collections import Counter
from html import unescape
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Colour = tuple[int, int, int]

_FRAME = """<!doctype html><title>not measured</title><body style="margin:0">
<iframe src="{page}" width="{width}" height="800" style="border:0"></iframe>
<script>onload = () => {{
    const root = document.querySelector("iframe").contentDocument.documentElement;
    document.title = `${{root.clientWidth}} ${{root.scrollWidth}}`;
}}</script>"""


class Loaded(NamedTuple):
    """A page once it was loaded: its elements as markup, and the lines that it left in the console."""

    dom: str
    console: list[str]


class Browser:
    """One browser; each look at a page is a process of its own with an empty profile."""

    def __init__(self, program: str, home: Path) -> None:
        self._program = program
        self._home = home

    @classmethod
    def found(cls, home: Path) -> Browser:
        """The browser of this machine; without one the test is skipped, but never on CI."""
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None and os.environ.get("CI"):
            pytest.fail("there is no chromium, and CI must not skip what needs one")
        if program is None:
            pytest.skip("no chromium on this machine")
        return cls(program, home)

    def load(self, page: Path) -> Loaded:
        done = self._run(page, "--dump-dom")
        return Loaded(done.stdout, re.findall(r"CONSOLE.*", done.stderr))

    def overflow(self, page: Path, width: int) -> int:
        """Pixels by which the page is wider than a window of that width."""
        frame = self._home / "frame.html"
        frame.write_text(_FRAME.format(page=page.as_uri(), width=width))
        title = re.search(r"<title>(\d+) (\d+)</title>", self._run(frame, "--dump-dom").stdout)
        assert title is not None
        assert int(title[1]) == width
        return int(title[2]) - width

    def colours(self, page: Path, *, dark: bool, width: int = 390, height: int = 900) -> Counter[Colour]:
        """The colours of the pixels of a window, and how many there are of each."""
        picture = self._home / "picture.png"
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        self._run(page, f"--screenshot={picture}", f"--window-size={width},{height}", scheme)
        return Counter(_pixels(picture.read_bytes()))

    def _run(self, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [
            self._program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
            f"--user-data-dir={self._home / 'profile'}",
            *options,
            page.as_uri(),
        ]
        environment = {**os.environ, "HOME": str(self._home)}
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True, env=environment)


def text_of(dom: str) -> str:
    """The text of the elements, on one line."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", dom, flags=re.DOTALL)))


def _pixels(png: bytes) -> list[Colour]:
    """The pixels of a PNG with 8 bits a channel, not interlaced (RFC 2083)."""
    width, height, depth, kind, *_, interlaced = struct.unpack(">IIBBBBB", png[16:29])
    assert (depth, interlaced) == (8, 0)
    size = {2: 3, 6: 4}[kind]
    content = zlib.decompress(_content(png))
    row, found = bytes(width * size), []
    for start in range(0, height * (width * size + 1), width * size + 1):
        row = _unfiltered(content[start], content[start + 1 : start + 1 + width * size], row, size)
        found += [(row[at], row[at + 1], row[at + 2]) for at in range(0, len(row), size)]
    return found


def _content(png: bytes) -> bytes:
    content, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            content += png[at + 8 : at + 8 + length]
        at += length + 12
    return content


def _unfiltered(rule: int, row: bytes, above: bytes, size: int) -> bytes:
    if rule == 0:
        return row
    done = bytearray(row)
    for at in range(len(done)):
        left, corner = (done[at - size], above[at - size]) if at >= size else (0, 0)
        up = above[at]
        guess = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[rule]
        done[at] = (done[at] + guess) & 0xFF
    return bytes(done)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))
