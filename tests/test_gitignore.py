"""Patterns mean what they mean to git: real git is asked about the same tree, whatever the patterns are."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.archive.gitignore import Patterns
from async_backup.restoring.wish import Wish
from tests.other_servers import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ["a", "b", "ab", "a.b", "B", "1", "-", "]", "[", " a", "a ", "!a", "#a", "a\\", "*", "a\nb"]
PIECES = [
    *("a", "b", "ab", ".", "B", "1", "-", "!", "#", " ", "\\ ", "\\a", "\\*", "\\!", "\\#", "\\["),
    *("*", "**", "?", "/", "/", "/", "/**/", "**/", "/**", "***"),
    *("[a-b]", "[!a]", "[^b]", "[]]", "[]-a]", "[[]", "[b-a]", "[!b-a]", "[a-]", "[+-9]", "[\\]a]", "[a\\-b]", "[--1]"),
    *("[[:alpha:]]", "[[:punct:]]", "[[:upper:]1]", "[![:digit:][:space:]]", "[[:al]", "[a-c-1]"),
]
LINE = st.tuples(st.sampled_from(["", "", "!"]), st.lists(st.sampled_from(PIECES), min_size=1, max_size=4)).map(
    lambda line: line[0] + "".join(line[1])
)
LINES = st.lists(LINE.filter(lambda line: not re.search(r"(?!^!)[^/*]\*\*", line)), min_size=1, max_size=4)
"""What git and its manual read alike: they do not for `**` behind anything but a slash."""


@cache
def contents(depth: int) -> list[str]:
    """Paths of files: at each depth each name is a file, and a directory with all names in it called so with `d`."""
    inside = contents(depth - 1) if depth else []
    return [*NAMES, *(f"{name}d/{path}" for name in NAMES for path in inside[:: len(NAMES) - 1])]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tree")
    for path in contents(3):
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).touch()
    subprocess.run([need("git", "git"), "init", "-q", top], check=True)
    return top


def left_by_git(tree: Path, lines: list[str]) -> set[str]:
    """What git does not ignore."""
    patterns = tree / ".git" / "patterns"
    patterns.write_text("".join(f"{line}\n" for line in lines))
    command = ["git", "-c", "core.excludesFile=", "ls-files", "--others", "-z", f"--exclude-from={patterns}"]
    done = subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True)
    return set(done.stdout.split("\0")) - {""}


def left_by_us(tree: Path, patterns: Patterns) -> Iterator[str]:
    for top, directories, files in os.walk(tree):
        inside = os.path.relpath(top, tree) + "/" if top != str(tree) else ""
        directories[:] = [
            name for name in directories if name != ".git" and not patterns.match(inside + name, is_directory=True)
        ]
        yield from (inside + name for name in files if not patterns.match(inside + name, is_directory=False))


@given(lines=LINES)
def test_what_patterns_leave_is_what_git_leaves(tree: Path, lines: list[str]) -> None:
    try:
        patterns = Patterns(lines)
    except ValueError:
        return
    assert set(left_by_us(tree, patterns)) == left_by_git(tree, lines)


@given(lines=LINES)
def test_to_exclude_from_a_restore_leaves_what_a_backup_without_that_holds(tree: Path, lines: list[str]) -> None:
    try:
        left = set(left_by_us(tree, Patterns(lines)))
    except ValueError:
        return
    leaving, bringing = Wish(exclude=tuple(lines)), Wish(include=tuple(lines))
    assert {path for path in contents(3) if leaving.picks(b"e/" + os.fsencode(path), b"e", is_directory=False)} == left
    assert {
        path for path in contents(3) if not bringing.picks(b"e/" + os.fsencode(path), b"e", is_directory=False)
    } == left


@pytest.mark.parametrize(
    "lines",
    [
        ["*", "!*/", "!*.b"],
        ["/*", "!/ad"],
        ["ad/**", "!ad/a"],
        ["*", "!ad/", "!ad/**"],
        ["ad", "!ad/a"],
        ["**/ad/**/b", "# comment", ""],
        ["a\\ ", "  "],
        ["\\\\"],
        ["[[:alpha:]]?"],
    ],
)
def test_what_people_write_means_to_us_what_it_means_to_git(tree: Path, lines: list[str]) -> None:
    left = left_by_git(tree, lines)
    assert set(left_by_us(tree, Patterns(lines))) == left
    assert 0 < len(left) <= len(contents(3))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("!", "names nothing"),
        ("/", "names nothing"),
        ("[ab", "is not closed"),
        ("[]", "is not closed"),
        ("a\\", "a backslash at the end"),
        ("[[:letter:]]", "no class"),
    ],
)
def test_a_line_that_would_match_nothing_for_ever_is_refused_with_its_reason(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        Patterns(["fine", line])
    assert repr(line) in str(refused.value)


def test_stars_that_are_no_whole_part_of_a_path_stay_in_theirs() -> None:
    patterns = Patterns(["a**/b"])
    assert patterns.match("ac/b", is_directory=False)
    assert not patterns.match("ac/d/b", is_directory=False)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*_*_*_*_*_*_*_*.bak", "_" * 255),
        ("*a" * 12 + "b", "a" * 255),
        ("**/" * 10 + "x", "a/" * 1500 + "y"),
        ("**/a/**/a/**/a/**/a/**/b", "a/" * 1500 + "y"),
        ("*a*a*/*a*a*/**/*a*a*b", "/".join(["a" * 255] * 10)),
    ],
)
def test_no_name_holds_the_matching_up(pattern: str, path: str) -> None:
    assert not Patterns([pattern]).match(path, is_directory=False)  # in hours, if it tried all ways


def test_a_question_mark_stands_for_a_character_not_for_a_byte() -> None:
    assert Patterns(["f?r"]).match("für", is_directory=False)
