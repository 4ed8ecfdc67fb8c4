"""What only a close look needs to know of a connection: its first hop, keys, extensions, free space.

It looks into its neighbours in this package, so that these need not carry what a backup never asks.
"""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, cast

import asyncssh
from anyio import move_on_after

from async_backup.errors import HostKeyError, RemoteError, SettingsError
from async_backup.remote.ssh.dial import _config_files
from async_backup.remote.ssh.handle import about
from async_backup.remote.ssh.translate import REQUEST_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.config import SshSettings
    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.connection import Connection
    from async_backup.remote.ssh.dial import Dialer

EXTENSIONS = ("fsync", "statvfs", "limits", "hardlink", "posix-rename", "copy-data")
"""Extensions of SFTP that OpenSSH has, those that matter to a backup first."""

_READ_ONLY = 1
_PATIENCE = 10.0
_MOST_HOPS = 8


class Hop(NamedTuple):
    """Where the first TCP connection goes, by name and port; `jump` is ssh's ProxyJump, `command` its ProxyCommand."""

    host: str
    port: int
    family: int
    jump: str = ""
    command: str = ""


class HostKey(NamedTuple):
    """A server's public key."""

    algorithm: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.algorithm} {self.fingerprint}"


class Login(NamedTuple):
    """As whom, and with what, a connection was authenticated."""

    user: str
    key: str


class Space(NamedTuple):
    """A file system: bytes that we may use and bytes in all, files that may be made (None: unlimited)."""

    free: int
    total: int
    free_files: int | None
    is_read_only: bool


class Output(NamedTuple):
    """What a command printed on standard output, and its exit status: None where the server told none."""

    status: int | None
    text: bytes


async def first_hop(dialer: Dialer, settings: SshSettings) -> Hop:
    """Where a connection begins: at the server, or at the first of its jump hosts; raises SettingsError."""
    options = dialer._options
    jump = options.tunnel if isinstance(options.tunnel, str) else ""
    command = " ".join(options.proxy_command or ())
    for _ in range(_MOST_HOPS):
        if not isinstance(options.tunnel, str):
            return Hop(options.host, options.port, options.family, jump, command)
        options = await _hop_options(options.tunnel.split(",")[0], settings)
    raise SettingsError(f"the jump hosts of {dialer.host} in ssh's configuration lead in a circle")


async def _hop_options(hop: str, settings: SshSettings) -> asyncssh.SSHClientConnectionOptions:
    host, _, port = hop.rpartition("@")[2].partition(":")
    try:
        number = int(port) if port else ()
        config = _config_files(settings)
        options = await asyncssh.SSHClientConnectionOptions.construct(host=host, port=number, config=config)
    except REQUEST_ERRORS as error:
        raise SettingsError(f"the jump host {hop} of ssh's configuration cannot be used: {error}") from error
    return cast("asyncssh.SSHClientConnectionOptions", options)


def known_hosts_of(dialer: Dialer) -> str:
    """The files in which host keys are looked up, for people."""
    return dialer._known_hosts.describe()


def host_key_of(connection: Connection) -> HostKey | None:
    """The key that the server has shown on this connection."""
    return _described(connection._connection.get_server_host_key())


async def fetch_host_key(dialer: Dialer) -> HostKey | None:
    """The key that the server shows to anybody; None where it shows none."""
    return _described(await dialer._fetch_host_key())


def _described(key: asyncssh.SSHKey | None) -> HostKey | None:
    return HostKey(key.get_algorithm(), key.get_fingerprint()) if key else None


def is_of_jump_host(error: HostKeyError, dialer: Dialer) -> bool:
    """Whether the host key that was refused is that of a jump host, not the server's."""
    cause = error.__cause__
    named = cause.reason.rpartition(" ")[2] if isinstance(cause, asyncssh.HostKeyNotVerifiable) else ""
    return bool(dialer._options.tunnel) and named not in {"", dialer.address, dialer._known_as}


async def login_methods(dialer: Dialer) -> Sequence[str]:
    """How the server would let this user log in; empty where it does not say."""
    options = dialer._options
    with move_on_after(_PATIENCE), suppress(*REQUEST_ERRORS):
        return await asyncssh.get_server_auth_methods(
            dialer.address, dialer._port, options=options, config=dialer._jump_config
        )
    return ()


def offered_keys(dialer: Dialer) -> list[str]:
    """Our keys as they are offered to the server, except those in ssh-agent."""
    return [_named(pair) for pair in dialer._options.client_keys or ()]


def login_of(dialer: Dialer, connection: Connection) -> Login:
    """As whom we are logged in, and with which key.

    The library does not tell the key; but it takes one after the other, those of the agent first, and the rest is left.
    """
    options, session = dialer._options, connection._connection
    configured, left = list(options.client_keys or ()), len(getattr(session, "_client_keys", ()))
    if left < len(configured):
        return Login(options.username, _named(configured[len(configured) - left - 1]))
    return Login(options.username, "a key of ssh-agent" if options.agent_path else "no key")


def _named(pair: asyncssh.SSHKeyPair) -> str:
    digest = base64.b64encode(hashlib.sha256(pair.public_data).digest()).rstrip(b"=").decode()
    comment = pair.get_comment(errors="backslashreplace")
    return f"{pair.algorithm.decode()} SHA256:{digest}{f' ({comment})' if comment else ''}"


async def run_command(connection: Connection, command: bytes) -> Output:
    """Run a command by itself, as the account's login shell does; raises NoSession, ConnectionDropped."""
    with connection._opening("running a command"):
        try:
            done = await connection._connection.run(command, encoding=None, stdin=asyncssh.DEVNULL)
        except asyncssh.ChannelOpenError as error:
            raise connection._session_error(error) from error
    return Output(done.exit_status, done.stdout if isinstance(done.stdout, bytes) else b"")


def sftp_version(channel: Channel) -> int:
    """The version of the protocol that client and server have agreed on."""
    return channel._sftp.version


def extensions_of(channel: Channel) -> frozenset[str]:
    """Those of `EXTENSIONS` that the server has; the library keeps them to itself, and fails a request without."""
    handler = getattr(channel._sftp, "_handler", None)
    return frozenset(name for name in EXTENSIONS if getattr(handler, f"_supports_{name.replace('-', '_')}", False))


async def space_of(channel: Channel, path: bytes) -> Space | None:
    """The file system of a directory; None where the server cannot tell."""
    try:
        found = await channel.request("asking for free space", lambda: channel._sftp.statvfs(path))
    except RemoteError as error:
        if isinstance(error.__cause__, asyncssh.SFTPOpUnsupported):
            return None
        raise
    block = found.frsize or found.bsize
    files = found.favail if found.files else None
    return Space(found.bavail * block, found.blocks * block, files, bool(found.flags & _READ_ONLY))


async def remove_directory(channel: Channel, path: bytes) -> None:
    """Remove a directory, which must be empty; raises RemoteError."""
    await channel.request(about("removing", path), lambda: channel._sftp.rmdir(path))
