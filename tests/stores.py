"""Stores for tests: opened on a server, with small limits, and the world that their server shows."""

from __future__ import annotations

import os
import stat
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from anyio import move_on_after, sleep

from async_backup.config import Destination, Limits, SshSettings, Verify
from async_backup.remote.naming import RunId
from async_backup.remote.ssh.dial import Dialer
from async_backup.remote.store import open_archives, open_store
from tests.sshd import running_sshd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from async_backup.remote.ssh.connection import Connection
    from async_backup.remote.store import SftpStore
    from tests.sshd import Sshd

RUN = RunId.of_this_process()
FEW = Limits(workers=2, processes=1, connections=2, channels=2, retries=2)


@asynccontextmanager
async def opened(
    destination: Destination,
    ssh: SshSettings,
    limits: Limits = FEW,
    *,
    verify: Verify = Verify.AUTO,
    algorithm: str = "md5",
) -> AsyncIterator[SftpStore]:
    async with open_store(destination, ssh, limits, algorithm=algorithm, verify=verify) as store:
        await store.try_out(RUN)
        yield store


@asynccontextmanager
async def opened_to_read(
    destination: Destination, ssh: SshSettings, limits: Limits = FEW, *, verify: Verify = Verify.AUTO
) -> AsyncIterator[SftpStore]:
    async with open_archives(destination, ssh, limits, verify=verify) as store:
        yield store


async def all_channels(store: SftpStore, limits: Limits = FEW) -> None:
    """Wait for the channels that are opened in the background."""
    while len(store._pool.usable_channels()) < limits.connections * limits.channels:  # noqa: ASYNC110  (no event tells)
        await sleep(0.01)


@contextmanager
def calm_sshd(base: Path, *, options: Sequence[str] = ()) -> Iterator[Sshd]:
    """A real server whose shells run no start-up files of this account: those may take long, or leave locks behind."""
    home = base / "home"
    home.mkdir(parents=True)
    with running_sshd(base / "sshd", options=[*options, f'SetEnv "HOME={home}"']) as server:
        yield server


def on_sshd(server: Sshd, directory: Path, *, port: int | None = None) -> Destination:
    return Destination(server.host, os.fsencode(directory), server.user, port or server.port)


def login(server: Sshd, timeout: float = 10.0) -> SshSettings:
    """How to log in to a real server, also through a proxy, whatever the ssh configuration of this account says."""
    config, known_hosts = server.key.with_name("client_config"), server.key.with_name("known_hosts_any_port")
    config.touch()
    known_hosts.write_text(f"* {server.host_key.with_suffix('.pub').read_text()}")
    return SshSettings((server.key,), known_hosts, config, timeout)


@asynccontextmanager
async def dialled(destination: Destination, ssh: SshSettings) -> AsyncIterator[Connection]:
    """One connection, without a pool around it."""
    connection = await (await Dialer.prepare(destination, ssh)).dial()
    try:
        yield connection
    finally:
        with move_on_after(2):
            await connection.close()
        connection.abort()


class DiskWorld:
    """A directory of this machine that a server shows to its clients."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.fsencode(directory)

    def files(self) -> dict[bytes, bytes]:
        return {name: self._content(name) for name in os.listdir(self._directory) if not self._is_directory(name)}

    def _is_directory(self, name: bytes) -> bool:
        return stat.S_ISDIR(os.lstat(self._path(name)).st_mode)

    def _content(self, name: bytes) -> bytes:
        if os.path.islink(self._path(name)):
            return os.readlink(self._path(name))
        with open(self._path(name), "rb") as file:
            return file.read()

    def _path(self, name: bytes) -> bytes:
        return os.path.join(self._directory, name)

    def put(self, name: bytes, content: bytes) -> None:
        with open(self._path(name), "wb") as file:
            file.write(content)

    def link(self, name: bytes, target: bytes) -> bool:
        os.symlink(target, self._path(name))
        return True

    def mode(self, name: bytes) -> int | None:
        return stat.S_IMODE(os.lstat(self._path(name)).st_mode)
