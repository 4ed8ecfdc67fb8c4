"""The digest command: no name does harm in any shell, and nothing but exactly one digest is taken for one."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.remote import digest_lines
from async_backup.remote.digest_lines import (
    BareLines,
    ShellLines,
    command_line,
    is_plain,
    parse_digest,
    parse_digests,
    search_line,
)
from async_backup.remote.ssh.shell import Answer
from tests.remote_contract import HOSTILE_NAMES

if TYPE_CHECKING:
    from pathlib import Path

MD5 = b"d41d8cd98f00b204e9800998ecf8427e"
SHELLS = [
    ["/bin/sh"],
    ["/bin/bash"],
    ["/bin/bash", "--posix"],
    ["/bin/dash"],
    ["busybox", "sh"],
    ["zsh"],
    ["ksh"],
    ["mksh"],
    ["yash"],
]


@pytest.mark.parametrize("as_login", [False, True])
@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_hostile_name_is_only_a_name(tmp_path: Path, shell: list[str], as_login: bool) -> None:
    program = shutil.which(shell[0])
    if program is None:
        pytest.skip(f"no {shell[0]} on this machine")
    for name in HOSTILE_NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    lines = [command_line("md5sum", os.fsencode(tmp_path) + b"/" + name) for name in HOSTILE_NAMES]
    if as_login and shell[0] != "busybox":
        shell = ["-" + os.path.basename(program), *shell[1:]]
    result = subprocess.run(
        shell, executable=program, input=b"\n".join(lines) + b"\n", capture_output=True, check=True, cwd=tmp_path
    )
    expected = [hashlib.md5(name, usedforsecurity=False).hexdigest() + "  -" for name in HOSTILE_NAMES]
    assert result.stdout.decode().splitlines() == expected
    assert set(os.listdir(os.fsencode(tmp_path))) == set(HOSTILE_NAMES)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_shell_is_asked_on_which_volumes_a_file_is(
    tmp_path: Path, shell: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_lines, "_VOLUMES", os.fsencode(tmp_path) + b"/volume[0-9]*")
    program = shutil.which(shell[0])
    if program is None:
        pytest.skip(f"no {shell[0]} on this machine")
    for volume in ("volume1", "volume2", "volume10"):
        (tmp_path / volume).mkdir()
    for name in HOSTILE_NAMES:
        (tmp_path / "volume2" / os.fsdecode(name)).touch()
        (tmp_path / "volume10" / os.fsdecode(name)).touch()
        line = search_line(b"/" + name)
        result = subprocess.run(shell, executable=program, input=line + b"\n", capture_output=True, check=False)
        assert sorted(result.stdout.split()) == [os.fsencode(tmp_path / volume) for volume in ("volume10", "volume2")]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_several_plain_files_are_asked_for_in_one_line(tmp_path: Path, shell: list[str]) -> None:
    program = shutil.which(shell[0])
    if program is None:
        pytest.skip(f"no {shell[0]} on this machine")
    paths = [os.fsencode(tmp_path) + b"/" + name for name in (b"a", b".b-1.tar.gz.part", b"c_d")]
    assert all(map(is_plain, paths))
    for path in paths:
        with open(path, "xb") as file:
            file.write(path)
    line = ShellLines().several("md5sum", paths)
    result = subprocess.run(shell, executable=program, input=line + b"\n", capture_output=True, check=True)
    expected = [hashlib.md5(path, usedforsecurity=False).hexdigest() for path in paths]
    assert parse_digests(Answer(0, result.stdout), "md5", paths) == expected


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_bare_line_names_the_file_to_every_shell(shell: list[str]) -> None:
    program = shutil.which(shell[0])
    if program is None:
        pytest.skip(f"no {shell[0]} on this machine")
    lines = BareLines()
    paths = [b"/" + bytes([97, code, 97]) for code in range(1, 256)] + [b"/-a b [c] \xc3\xbc:@=+,", b"/[a-z]", b"/  "]
    taken = [path for path in paths if lines.takes(path)]
    assert len(taken) > 190
    script = b"\n".join(lines.one("printf '%s\\n'", path) for path in taken)
    result = subprocess.run(shell, executable=program, input=script + b"\n", capture_output=True, check=True)
    assert result.stdout.splitlines() == taken


@given(st.binary(max_size=20) | st.text("/abc.-_ ~*=", max_size=9).map(os.fsencode))
def test_what_is_plain_is_one_word_to_every_shell_and_no_option(name: bytes) -> None:
    path = b"/d/" + name
    assert not is_plain(name) or name.startswith(b"/")
    if is_plain(path):
        assert shlex.quote(path.decode("ascii")) == path.decode()


@given(st.binary(min_size=1, max_size=300).filter(lambda path: b"\0" not in path))
def test_a_command_is_one_line_of_plain_characters(path: bytes) -> None:
    line = command_line("md5sum", path)
    assert line.isascii()
    assert line.decode().isprintable()


@pytest.mark.parametrize(
    "output",
    [MD5, MD5 + b"\n", MD5 + b"  -\n", MD5 + b" *-\n", MD5 + b" *stdin\n", MD5 + b"  -\r\n", b"\n" + MD5 + b"  -\n\n"],
)
def test_what_the_known_commands_print_is_a_digest(output: bytes) -> None:
    assert parse_digest(Answer(0, output), "md5") == MD5.decode()


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"\n",
        b"-",
        MD5[:-1],
        MD5 + b"0",
        MD5.upper(),
        MD5 + b"  name",
        MD5 + b"  -\n" + MD5 + b"  -\n",
        MD5 + MD5,
        b"\\" + MD5 + b"  -\n",
        b"welcome\n" + MD5 + b"  -\n",
        MD5 + b"  -\nmd5sum: read error\n",
        b"MD5 (stdin) = " + MD5,
        b"(stdin)= " + MD5,
        b"0x" + MD5,
        MD5 + b"\0",
        b"sh: 1: md5sum: not found",
        b"This service allows sftp connections only.\n",
        hashlib.sha256().hexdigest().encode(),
    ],
)
def test_anything_else_is_none(output: bytes) -> None:
    assert parse_digest(Answer(0, output), "md5") is None


PATHS = [b"/d/a", b"/d/b"]
OTHER = hashlib.md5(b"b", usedforsecurity=False).hexdigest().encode()


@pytest.mark.parametrize(
    "output",
    [
        b"%b  /d/a\n%b  /d/b\n" % (MD5, OTHER),
        b"%b */d/a\n%b */d/b\n" % (MD5, OTHER),
        b"%b\r\n%b\r\n\r\n" % (MD5, OTHER),
    ],
)
def test_what_the_known_commands_print_for_several_files_are_digests(output: bytes) -> None:
    assert parse_digests(Answer(0, output), "md5", PATHS) == [MD5.decode(), OTHER.decode()]
    assert parse_digests(Answer(1, output), "md5", PATHS) is None
    assert parse_digests(Answer(0, output), "sha1", PATHS) is None


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"%b  /d/a\n" % MD5,
        b"%b  /d/b\n%b  /d/a\n" % (MD5, OTHER),
        b"%b  /d/a\n%b  /d/b\nwelcome\n" % (MD5, OTHER),
        b"%b  /d/a\n\n%b  /d/b\n" % (MD5, OTHER),
        b"%b  /d/a\n%b  /d/b.\n" % (MD5, OTHER),
        b"%b  /d/a %b  /d/b\n" % (MD5, OTHER),
        b"%b  -\n%b  -\n" % (MD5, OTHER),
        b"MD5 (/d/a) = %b\nMD5 (/d/b) = %b\n" % (MD5, OTHER),
        b"%b  /d/a\nmd5sum: /d/b: No such file or directory\n" % MD5,
    ],
)
def test_anything_else_is_taken_for_none_of_them(output: bytes) -> None:
    assert parse_digests(Answer(0, output), "md5", PATHS) is None


@given(st.integers(1, 255))
def test_a_command_that_failed_has_given_no_digest(status: int) -> None:
    assert parse_digest(Answer(status, MD5 + b"  -\n"), "md5") is None


PIECES = [
    MD5,
    MD5[:31],
    MD5[:1],
    MD5.upper(),
    b"-",
    b" ",
    b"  -",
    b" *stdin",
    b"\n",
    b"\r",
    b"\0",
    b"x",
    b"\x0b",
    b"\xff",
]


@given(st.lists(st.sampled_from(PIECES), max_size=6).map(b"".join) | st.binary(max_size=80))
def test_nothing_is_taken_for_a_digest_that_is_not_exactly_one(output: bytes) -> None:
    found = parse_digest(Answer(0, output), "md5")
    if found is None:
        return
    words = output.split()
    assert words[0] == found.encode()
    assert len(found) == 32
    assert set(found) <= set("0123456789abcdef")
    assert words[1:] in ([], [b"-"], [b"*-"], [b"*stdin"], [b"stdin"])


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_each_algorithm_takes_digests_of_its_own_length_only(algorithm: str) -> None:
    for other in ("md5", "sha1", "sha256", "sha512"):
        value = hashlib.new(other, usedforsecurity=False).hexdigest()
        found = parse_digest(Answer(0, value.encode()), algorithm)
        assert found == (value if other == algorithm else None)
