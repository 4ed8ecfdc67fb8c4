"""One contract, every store: the fake, our own server, an old server, OpenSSH, ProFTPD, each way of verifying."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from async_backup.config import Verify
from async_backup.remote.memory import MemoryStore
from tests.embedded import embedded_server
from tests.file_faults import InOrderOnly, NoLimits, OpenToOthers, TruncateOnOpen
from tests.other_servers import running_proftpd
from tests.remote_contract import Place, RemoteContract
from tests.stores import DiskWorld, login, on_sshd, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.remote.store import SftpStore
    from tests.sshd import Sshd

_numbers = count()


class MemoryWorld:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def files(self) -> dict[bytes, bytes]:
        return {os.path.basename(path): content for path, content in self._store.files.items()}

    def put(self, name: bytes, content: bytes) -> None:
        self._store.put(self._store.directory + b"/" + name, content)

    def link(self, name: bytes, target: bytes) -> bool:
        del name, target
        return False

    def mode(self, name: bytes) -> int | None:
        del name
        return None


class TestMemoryStore(RemoteContract):
    @pytest.fixture
    def place(self) -> Place:
        store = MemoryStore()
        return Place(store, store.directory, MemoryWorld(store))


async def new_place(store: SftpStore, root: Path) -> Place:
    """A new directory below `root`, which the store calls its directory."""
    name = f"place-{next(_numbers)}"
    directory = store.directory.rstrip(b"/") + b"/" + name.encode()
    await store.make_directory(directory)
    return Place(store, directory, DiskWorld(root / name))


class TestSftpStoreOnOurServer(RemoteContract):
    @pytest.fixture(scope="class", params=[Verify.COMMAND, Verify.READBACK])
    async def stored(
        self, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
    ) -> AsyncIterator[tuple[SftpStore, Path]]:
        base = tmp_path_factory.mktemp("embedded")
        async with (
            embedded_server(base) as server,
            opened(server.destination(), server.ssh(10), verify=request.param) as store,
        ):
            yield store, base / "root"

    @pytest.fixture
    async def place(self, stored: tuple[SftpStore, Path]) -> Place:
        return await new_place(*stored)


class TestSftpStoreOnAnOldServer(RemoteContract):
    @pytest.fixture(scope="class")
    async def stored(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[SftpStore, Path]]:
        base = tmp_path_factory.mktemp("old")
        async with (
            embedded_server(base, NoLimits()) as server,
            opened(server.destination(), server.ssh(10)) as store,
        ):
            yield store, base / "root"

    @pytest.fixture
    async def place(self, stored: tuple[SftpStore, Path]) -> Place:
        return await new_place(*stored)


class TestSftpStoreOnAPeculiarServer(RemoteContract):
    @pytest.fixture(scope="class", params=[InOrderOnly, TruncateOnOpen, OpenToOthers])
    async def stored(
        self, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
    ) -> AsyncIterator[tuple[SftpStore, Path]]:
        base = tmp_path_factory.mktemp("in-order")
        async with (
            embedded_server(base, request.param()) as server,
            opened(server.destination(), server.ssh(10)) as store,
        ):
            assert store.is_in_order is (request.param is not OpenToOthers)
            yield store, base / "root"

    @pytest.fixture
    async def place(self, stored: tuple[SftpStore, Path]) -> Place:
        return await new_place(*stored)

    async def test_a_part_may_be_written_again_and_over_others(self, place: Place) -> None:
        pytest.skip("that is not the order")


class TestSftpStoreOnOpenSsh(RemoteContract):
    @pytest.fixture(scope="class", params=[Verify.COMMAND, Verify.READBACK])
    async def stored(
        self, sshd: Sshd, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
    ) -> AsyncIterator[tuple[SftpStore, Path]]:
        root = tmp_path_factory.mktemp("openssh")
        async with opened(on_sshd(sshd, root), login(sshd), verify=request.param) as store:
            yield store, root

    @pytest.fixture
    async def place(self, stored: tuple[SftpStore, Path]) -> Place:
        return await new_place(*stored)


class TestSftpStoreOnProftpd(RemoteContract):
    @pytest.fixture(scope="class", params=[Verify.AUTO, Verify.READBACK])
    async def stored(
        self, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
    ) -> AsyncIterator[tuple[SftpStore, Path]]:
        base = tmp_path_factory.mktemp("proftpd")
        (base / "stored").mkdir()
        with running_proftpd(base) as server:
            async with opened(on_sshd(server, Path("/stored")), login(server), verify=request.param) as store:
                assert store.verification == ("check-file" if request.param is Verify.AUTO else "readback")
                yield store, base / "stored"

    @pytest.fixture
    async def place(self, stored: tuple[SftpStore, Path]) -> Place:
        return await new_place(*stored)

    async def test_open_never_follows_a_link(self, place: Place) -> None:
        pytest.skip("mod_sftp answers the question for a link with what the link points to; its listings tell")
