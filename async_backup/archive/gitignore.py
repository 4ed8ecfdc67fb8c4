r"""Patterns as git reads them in `.gitignore` (gitignore(5); wildmatch.c, dir.c of git 2.39), as regular expressions.

They speak of characters where git's speak of bytes: `?` stands for `é`, too. And `a**/b` is `a*/b`, as gitignore(5) has
it: git itself reads it as `a` and then `**/b`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\t\n\r ",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}

_UP_TO_TRAILING_SPACES = re.compile(r"(?:\\.?|[^\\ ]| +(?=[^ ]))*", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<across>(?<![^/])\*\*+/)|(?P<below>(?<![^/])\*\*+\Z)|(?P<any>\*+)|(?P<one>\?)"
    r"|(?P<set>\[[!^]?)|\\(?P<escaped>.)|(?P<plain>[^\\])",
    re.DOTALL,
)
_SET_PART = re.compile(r"\[:(?P<class>[^]]*):\]|(?P<low>\\.|[^\\])(?:-(?P<high>\\.|[^]\\]))?", re.DOTALL)

_REGEX = {"below": ".*", "any": "[^/]*", "one": "[^/]"}
_ANYWHERE = "(?:.*/)?"

_Token = tuple[str, str]
"""What a part of a pattern is, and what stands for it in a regular expression."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line: of which paths it speaks, and whether those match or, after `!`, do not."""

    paths: re.Pattern[str]
    only_directories: bool
    is_match: bool


class Patterns:
    """The lines of a `.gitignore`; of those that speak of a path the last one decides."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Raises ValueError for a line that speaks of no path that there could be."""
        self._rules = [rule for rule in map(_rule, lines) if rule][::-1]

    def match(self, path: str, *, is_directory: bool) -> bool:
        """Whether `path` itself matches; what is below a directory that matches is asked for by nobody."""
        for rule in self._rules:
            if (is_directory or not rule.only_directories) and rule.paths.fullmatch(path):
                return rule.is_match
        return False


def _rule(line: str) -> _Rule | None:
    found = _UP_TO_TRAILING_SPACES.match(line)
    pattern = found[0] if found else line
    if not pattern or pattern.startswith("#"):
        return None
    inner = pattern.removeprefix("!").removesuffix("/")
    if not inner.strip("/"):
        raise ValueError(f"{line!r} names nothing")
    try:
        regex = _regex(list(_tokens(inner.removeprefix("/"))))
    except ValueError as error:
        raise ValueError(f"{line!r}: {error}") from None
    anywhere = "" if "/" in inner else _ANYWHERE
    return _Rule(re.compile(anywhere + regex, re.DOTALL), pattern.endswith("/"), not pattern.startswith("!"))


def _tokens(pattern: str) -> Iterator[_Token]:
    at = 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise ValueError("a backslash at the end stands before nothing")
        at = token.end()
        kind = str(token.lastgroup)
        if kind == "set":
            inside, at = _set(pattern, at)
            yield kind, _one_of(inside, is_negated=len(token[0]) > 1)
        else:
            yield kind, _REGEX.get(kind) or re.escape(token[kind])


def _regex(tokens: list[_Token]) -> str:
    """The whole expression, which tries nothing twice: a name made for that could hold up a backup for hours.

    What stands between two `**/`, or between two `*` of a part, is found at its first place, for good: the second one
    takes whatever is behind it.
    """
    ends = [place for place, (kind, _) in enumerate(tokens) if kind == "across"]
    parts = [
        _part(tokens[start:end]) for start, end in zip([0, *(end + 1 for end in ends)], [*ends, None], strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    between = "".join(f"(?>(?:[^/]*/)*?{part})" for part in parts[1:-1] if part)
    return parts[0] + between + _ANYWHERE + parts[-1]


def _part(tokens: list[_Token]) -> str:
    """What has no `**/` in it."""
    regex, behind_star = "", None
    for kind, piece in tokens:
        if kind == "any":
            regex += "" if behind_star is None else f"(?>[^/]*?{behind_star})"
            behind_star = ""
        elif behind_star is None:
            regex += piece
        elif piece == "/":
            regex, behind_star = f"{regex}[^/]*{behind_star}/", None
        else:
            behind_star += piece
    return regex if behind_star is None else f"{regex}[^/]*{behind_star}"


def _set(pattern: str, at: int) -> tuple[str, int]:
    """What stands in brackets that are open `at`, and where it goes on behind them; a `]` may be the first of it."""
    parts: list[str] = []
    while not parts or pattern[at : at + 1] != "]":
        part = _SET_PART.match(pattern, at)
        if part is None:
            raise ValueError("a [ is not closed; \\[ stands for the character")
        parts.append(_of_set(part))
        at = part.end()
    return "".join(parts), at + 1


def _of_set(part: re.Match[str]) -> str:
    name, low, high = part["class"], part["low"], part["high"]
    if name is not None:
        if name not in _CLASSES:
            raise ValueError(f"there is no class [:{name}:], but {', '.join(_CLASSES)}")
        return _CLASSES[name]
    low, high = low[-1], (high or low)[-1]
    return f"{re.escape(low)}-{re.escape(high)}" if low <= high else re.escape(low)


def _one_of(inside: str, *, is_negated: bool) -> str:
    if is_negated:
        return f"[^/{inside}]"
    return f"(?!/)[{inside}]"
