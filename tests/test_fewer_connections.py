"""A server that takes fewer connections than are wanted: the run goes on, and it is said."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from async_backup import Settings, backup
from async_backup.events import FewerConnections
from async_backup.ui.plain import fewer
from tests.proxy import FaultProxy, Refuse
from tests.stores import FEW, login, on_sshd

if TYPE_CHECKING:
    from pathlib import Path

    from async_backup.events import Event
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

SIZE = 3 << 20


async def told_of(sshd: Sshd, base: Path, *, wanted: int) -> list[FewerConnections]:
    """What a run says of its connections to a server that takes two of them."""
    (base / "source").mkdir()
    (base / "source/noise").write_bytes(os.urandom(SIZE))
    limits = replace(FEW, connections=wanted, retries=0, rate=SIZE)  # it takes a second, and opening them does not
    events: list[Event] = []
    async with FaultProxy(sshd.port, fault=Refuse(beyond=2)) as proxy:
        destination = on_sshd(sshd, base / "backups", port=proxy.port)
        settings = Settings((base / "source",), (destination,), login(sshd), limits=limits)
        with fail_after(30):
            report = await backup(settings, events.append)
    assert (report.exit_code, len(list((base / "backups").glob("noise-*.tar.gz")))) == (0, 1)
    return [event for event in events if isinstance(event, FewerConnections)]


async def test_how_many_there_are_and_why_is_told_once(sshd: Sshd, tmp_path: Path) -> None:
    [told] = await told_of(sshd, tmp_path, wanted=4)
    assert (told.connections, told.wanted) == (2, 4)
    assert fewer(told).startswith("only 2 connections to sftp://")
    assert "127.0.0.1" in told.reason


async def test_where_there_are_enough_nothing_is_told(sshd: Sshd, tmp_path: Path) -> None:
    assert await told_of(sshd, tmp_path, wanted=2) == []
