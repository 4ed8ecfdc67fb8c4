"""Temporary names tell whose they are, and whether anybody still works on them."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.remote.naming import FOREIGN_AGE, RunId, is_temporary

RUN = RunId.of_this_process()
NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)


@given(NAMES)
def test_every_name_gets_a_temporary_one_that_fits_and_is_recognised(name: bytes) -> None:
    temporary = RUN.temporary_name(name)
    assert is_temporary(temporary)
    assert len(temporary) <= 255
    assert temporary.startswith(b"." + name[:100])
    assert temporary != RUN.temporary_name(name)


@given(NAMES)
def test_no_other_name_is_ever_removed(name: bytes) -> None:
    assert is_temporary(name) or not RUN.is_left_over(name, age=FOREIGN_AGE * 100)


@pytest.mark.parametrize(
    "name",
    [
        b"photos-2024.tar.gz",
        b".photos.part",
        b".part",
        b"x" + RUN.temporary_name(b"a"),
        RUN.temporary_name(b"a") + b"x",
    ],
)
def test_names_that_only_look_alike_are_not_ours(name: bytes) -> None:
    assert not RUN.is_left_over(name, age=FOREIGN_AGE * 100)


def test_a_run_that_is_alive_is_left_alone_however_old_its_files_are() -> None:
    assert not RUN.is_left_over(RUN.temporary_name(b"a"), age=FOREIGN_AGE * 100)


def test_what_a_process_leaves_is_left_over_once_it_has_ended() -> None:
    program = (
        "import sys; from async_backup.remote.naming import RunId;"
        "print(RunId.of_this_process().temporary_name(b'a').decode(), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        was_left_over = RUN.is_left_over(name, age=0)
        process.communicate()
    assert not was_left_over
    assert RUN.is_left_over(name, age=0)


def test_a_process_number_that_was_given_out_again_does_not_count() -> None:
    earlier = replace(RUN, start=RUN.start - 1)
    assert RUN.is_left_over(earlier.temporary_name(b"a"), age=0)


def test_an_earlier_boot_of_this_machine_has_no_processes() -> None:
    earlier = replace(RUN, boot="0" * 8)
    assert RUN.is_left_over(earlier.temporary_name(b"a"), age=0)


def test_another_machine_is_given_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    other, now = replace(RUN, host="0" * 8), time.time()
    name = other.temporary_name(b"a")
    assert not RUN.is_left_over(name, age=FOREIGN_AGE + 1)  # a link is as old as its file
    monkeypatch.setattr(time, "time", lambda: now + FOREIGN_AGE + 2)
    assert not RUN.is_left_over(name, age=FOREIGN_AGE)
    assert RUN.is_left_over(name, age=FOREIGN_AGE + 1)


def test_names_of_earlier_versions_are_known() -> None:
    assert RUN.is_left_over(b".a.00000000-00000000-1-1-00000000.part", age=FOREIGN_AGE + 1)


@pytest.mark.parametrize("pid", ["ffffffffffffffffffffffff", "ffffffff", "7fffffff"])
def test_a_process_number_that_cannot_be_is_no_process(pid: str) -> None:
    name = f".a.{RUN.host}-{RUN.boot}-{pid}-1-00000000.part".encode()
    assert RUN.is_left_over(name, age=0)
