"""Text as roff's man macros want it."""

from __future__ import annotations

from typing import Final

_ESCAPES: Final = str.maketrans(
    {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
)
"""`-` would become a hyphen, and quotes and accents typographic ones: nobody could paste them into a shell."""


def escaped(text: str) -> str:
    """Text on one line in which nothing is a request or an escape; ASCII, whatever is in it."""
    line = " ".join(text.split()).translate(_ESCAPES)
    ascii_only = "".join(char if char.isascii() else rf"\[u{ord(char):04X}]" for char in line)
    return rf"\&{ascii_only}" if ascii_only.startswith(".") else ascii_only


def bold(text: str) -> str:
    """Within a line."""
    return rf"\fB{escaped(text)}\fR"


def italic(text: str) -> str:
    """Within a line."""
    return rf"\fI{escaped(text)}\fR"


def title(name: str, number: int, manual: str) -> list[str]:
    """The beginning; without a date, which would make it another page every day.

    Lines are neither justified nor hyphenated: a command that is broken in two is none.
    """
    return [f'.TH {escaped(name.upper())} {number} "" "{escaped(name)}" "{escaped(manual)}"', ".nh", ".ad l"]


def section(name: str, *lines: str) -> list[str]:
    """A section of lines that are roff already."""
    is_paragraph = lines[:1] == (".PP",)
    return [f".SH {escaped(name)}", *lines[is_paragraph:]]


def subsection(name: str, *lines: str) -> list[str]:
    """A part of a section."""
    return [f'.SS "{escaped(name)}"', *lines]


def item(term: str, text: str) -> list[str]:
    """A term that is roff already, and what it means, in plain text."""
    return [".TP", term, escaped(text)]


def paragraphs(text: str) -> list[str]:
    """Paragraphs with empty lines between them."""
    lines: list[str] = []
    for paragraph in filter(None, map(escaped, text.split("\n\n"))):
        lines += [".PP", paragraph]
    return lines


def example(text: str, *commands: str) -> list[str]:
    """Commands as they are typed, a line each, after what they do."""
    return [".PP", escaped(text), ".PP", ".RS 4", ".nf", *map(escaped, commands), ".fi", ".RE"]
