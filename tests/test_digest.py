"""Digests of several small files come from one command, and each is as good as one that was asked for alone."""

from __future__ import annotations

import hashlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from anyio import create_task_group, fail_after

from async_backup.demo.shell import Printed
from async_backup.errors import RemoteError, RemoteNotFound
from tests.embedded import Fault, embedded_server
from tests.shell_faults import CountSeveral, DiesOnSeveral, HangsOnSeveral, OneAtATime, ShellEndsOnce
from tests.stores import FEW, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from async_backup.remote.store import SftpStore

pytestmark = pytest.mark.anyio

MD5 = b"d41d8cd98f00b204e9800998ecf8427e"
NOT_SEVERAL = [
    Printed(1, b""),
    Printed(0, b"usage: md5sum FILE"),
    Printed(0, MD5 + b"  -\n"),
    Printed(0, (MD5 + b"  -\n") * 30),
    Printed(0, b"x" * 200_000),
]


@asynccontextmanager
async def store_with(base: Path, *faults: Fault, timeout: float = 10) -> AsyncIterator[SftpStore]:
    """A store on a server with `faults`, which must all have fired at the end."""
    with fail_after(60):
        async with (
            embedded_server(base, *faults) as server,
            opened(server.destination(b"/d"), server.ssh(timeout), FEW) as store,
        ):
            yield store


SMALL = {b"/d/%d" % number: b"%d" % number * 1000 for number in range(30)}


async def digests(
    store: SftpStore, paths: Iterable[bytes], size: int = 1000
) -> dict[bytes, tuple[str, str] | RemoteError]:
    """All asked for at the same time; of those that fail, the error."""
    found: dict[bytes, tuple[str, str] | RemoteError] = {}

    async def ask(path: bytes) -> None:
        try:
            found[path] = await store.digest(path, size)
        except RemoteError as error:
            found[path] = error

    async with create_task_group() as tasks:
        for path in paths:
            tasks.start_soon(ask, path)
    return found


def put_small(base: Path) -> dict[bytes, tuple[str, str]]:
    """Their digests, as a server should tell them."""
    for path, content in SMALL.items():
        (base / "root" / path.decode().lstrip("/")).write_bytes(content)
    return {
        path: (hashlib.md5(content, usedforsecurity=False).hexdigest(), "md5sum") for path, content in SMALL.items()
    }


async def test_the_digests_of_small_files_are_asked_for_together(tmp_path: Path) -> None:
    commands = CountSeveral()
    async with store_with(tmp_path, commands) as store:
        expected = put_small(tmp_path)
        assert await digests(store, SMALL) == expected
    assert commands.fired <= 2


@pytest.mark.parametrize(("name", "size"), [(b"large", 1 << 20), (b"new\nline", 1000), (b"x/" * 300, 1000)])
async def test_large_files_and_strange_paths_are_asked_for_one_by_one(tmp_path: Path, name: bytes, size: int) -> None:
    commands = CountSeveral()
    async with store_with(tmp_path, commands) as store:
        paths = [b"/d/%b%d" % (name, number) for number in range(10)]
        for path in paths:
            file = tmp_path / "root" / os.fsdecode(path).lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(path)
        found = await digests(store, paths, size)
        assert commands.fired == 0
        commands.hit()  # as every fault has to be
    assert found == {path: (hashlib.md5(path, usedforsecurity=False).hexdigest(), "md5sum") for path in paths}


async def test_one_that_is_missing_among_them_is_the_only_one_without(tmp_path: Path) -> None:
    async with store_with(tmp_path) as store:
        expected = put_small(tmp_path)
        (tmp_path / "root/d/7").unlink()
        found = await digests(store, SMALL)
    assert isinstance(found.pop(b"/d/7"), RemoteNotFound)
    del expected[b"/d/7"]
    assert found == expected


@pytest.mark.parametrize("printed", NOT_SEVERAL, ids=lambda printed: f"{printed.status}-{printed.output[:6]!r}")
async def test_a_command_that_cannot_do_several_is_asked_for_each(tmp_path: Path, printed: Printed) -> None:
    async with store_with(tmp_path, OneAtATime(printed)) as store:
        expected = put_small(tmp_path)
        found = await digests(store, SMALL)
    assert {path: getattr(stored, "value", stored) for path, stored in found.items()} == {
        path: value for path, (value, _) in expected.items()
    }


@pytest.mark.parametrize("fault", [DiesOnSeveral, HangsOnSeveral])
async def test_a_server_that_has_trouble_with_several_is_bothered_with_them_once(
    tmp_path: Path, fault: type[Fault]
) -> None:
    trouble = fault()
    async with store_with(tmp_path, trouble, timeout=1) as store:
        expected = put_small(tmp_path)
        assert await digests(store, SMALL) == expected
        assert await digests(store, SMALL) == expected
    assert trouble.fired == 1


async def test_where_several_were_answered_before_a_lost_shell_is_no_reason_to_ask_for_each(tmp_path: Path) -> None:
    commands, death = CountSeveral(), DiesOnSeveral(only=3)
    async with store_with(tmp_path, commands, death) as store:
        expected = put_small(tmp_path)
        for _ in range(3):
            assert await digests(store, SMALL) == expected
        assert death.fired == 1
        before = commands.fired
        assert await digests(store, SMALL) == expected
        assert commands.fired > before


async def test_a_shell_that_ends_with_several_is_replaced(tmp_path: Path) -> None:
    async with store_with(tmp_path, ShellEndsOnce(command=9)) as store:
        expected = put_small(tmp_path)
        assert await digests(store, SMALL) == expected
