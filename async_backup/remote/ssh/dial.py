"""Making connections: ssh's configuration, keys and known hosts are read once, then each dial is cheap."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
from anyio import move_on_after, sleep, to_thread

from async_backup.errors import AuthenticationError, BackupError, HostKeyError, SettingsError, Unreachable
from async_backup.remote.retry import pause_before
from async_backup.remote.ssh.connection import Connection
from async_backup.remote.ssh.keys import KnownHosts, encrypted_keys, known_hosts_files, load_keys
from async_backup.remote.ssh.translate import REQUEST_ERRORS, connect_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.config import Destination, SshSettings

_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""Put first: measured twice as fast as asyncssh's first choice where the processor knows AES."""

_USUAL_KEYS = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"]
_RECEIVE_WINDOW = 6 << 20
"""Bytes that a channel may have on their way to us. asyncssh renews a window when more than half of it is used, so
only half counts in a round trip: measured at 50 ms, 19 MB/s a channel with its usual 2 MiB, 48 with 6 MiB. How much
is asked for at once is bounded elsewhere, below that half."""

_LOGIN_TIMEOUT = 30
_KEEP_ALIVE = 15
_KEEP_ALIVE_COUNT = 3
_CALLS_AGAIN = 2


class _HungUp(Unreachable):
    """The server closed a new connection."""


class Dialer:
    """Makes connections to one server. Use `prepare`."""

    def __init__(
        self,
        host: str,
        options: asyncssh.SSHClientConnectionOptions,
        known_hosts: KnownHosts,
        *,
        key_files: list[Path],
        timeout: float,
        config: tuple[()] | list[str],
    ) -> None:
        self._options = options
        self._known_hosts = known_hosts
        self._key_files = key_files
        self._timeout = timeout
        self.host = host
        """What the server is called in messages: as the user calls it."""
        self.address: str = options.host
        self._called = host if host == self.address else f"{host} ({self.address})"
        self._port: int = options.port
        self._jump_config = config if options.tunnel else None
        """Where jump hosts are looked up, which connect by themselves; all that the server needs is in the options."""
        self._known_as: str = options.host_key_alias or options.host

    @classmethod
    async def prepare(cls, destination: Destination, settings: SshSettings) -> Dialer:
        """Read all that a connection needs; raises SettingsError, HostKeyError or AuthenticationError."""
        keys = await to_thread.run_sync(load_keys, settings.keys, settings.ask_passphrase, abandon_on_cancel=True)
        config = _config_files(settings)
        make_options = partial(
            asyncssh.SSHClientConnectionOptions.construct,
            host=destination.host,
            port=destination.port or (),
            username=destination.user or (),
            config=config,
            client_keys=keys or (),
            compression_algs=None,
            window=_RECEIVE_WINDOW,
            keepalive_interval=_KEEP_ALIVE,
            keepalive_count_max=_KEEP_ALIVE_COUNT,
            connect_timeout=min(_LOGIN_TIMEOUT, settings.timeout),
            login_timeout=min(_LOGIN_TIMEOUT, settings.timeout),
            command=None,
        )
        try:
            configured = await make_options()
            known_hosts = await to_thread.run_sync(_known_hosts, configured, settings)
            ciphers = () if configured.config.get("Ciphers") else _CIPHERS
            options = await make_options(known_hosts=known_hosts.match, encryption_algs=ciphers)
        except REQUEST_ERRORS as error:
            raise SettingsError(f"the SSH settings for {destination.host} cannot be used: {error}") from error
        configured_keys = configured.config.get("IdentityFile") or _USUAL_KEYS
        key_files = [] if keys else await to_thread.run_sync(_expanded, configured_keys)
        timeout = settings.timeout
        return cls(destination.host, options, known_hosts, key_files=key_files, timeout=timeout, config=config)

    async def dial(self) -> Connection:
        """A new connection with its host key checked; raises Unreachable, HostKeyError or AuthenticationError.

        A server that hangs up at once, as one does that has too many logins under way, is called again.
        """
        for attempt in range(_CALLS_AGAIN):
            try:
                return await self._dial_once()
            except _HungUp:
                await sleep(pause_before(attempt))
        return await self._dial_once()

    async def _dial_once(self) -> Connection:
        try:
            connection = await asyncssh.connect(
                self.address, self._port, options=self._options, config=self._jump_config
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise await self._host_key_error() from error
        except (ConnectionResetError, asyncssh.ConnectionLost) as error:
            if await self._has_other_key():
                raise await self._host_key_error() from error
            raise _HungUp(str(connect_error(error, self._called, self._port))) from error
        except asyncssh.PermissionDenied as error:
            raise await self._authentication_error(error) from error
        except REQUEST_ERRORS as error:
            raise connect_error(error, self._called, self._port) from error
        return Connection(connection, self.host, self._timeout)

    async def _authentication_error(self, error: asyncssh.PermissionDenied) -> BackupError:
        found = connect_error(error, self._called, self._port)
        passed_over = await to_thread.run_sync(encrypted_keys, self._key_files)
        if passed_over:
            names = " and ".join(map(str, passed_over))
            return AuthenticationError(
                f"{found}. Passed over, since encrypted: {names}; load it with ssh-add, or use --key"
            )
        if not self._options.client_keys and not self._options.agent_path:
            return AuthenticationError(
                f"{self.host}: there is no key to log in with. Make one with `ssh-keygen -t ed25519`, and bring its "
                "public half to the server (`ssh-copy-id`, or the settings of a storage box or NAS)"
            )
        return found

    async def _host_key_error(self) -> HostKeyError:
        return self._known_hosts.problem(self._known_as, self._port, await self._fetch_host_key())

    async def _has_other_key(self) -> bool:
        """Whether the server hung up because it has no host key of the types that we trust."""
        trusted = self._known_hosts.listed(self._known_as, self._port)[0]
        if not trusted:
            return False
        key = await self._fetch_host_key()
        return key is not None and key not in trusted

    async def _fetch_host_key(self) -> asyncssh.SSHKey | None:
        with move_on_after(_LOGIN_TIMEOUT):
            try:
                tunnel = self._options.tunnel if isinstance(self._options.tunnel, str) else ()
                return await asyncssh.get_server_host_key(
                    self.address, self._port, tunnel=tunnel, config=self._jump_config
                )
            except REQUEST_ERRORS:
                return None
        return None


def _expanded(names: Sequence[object]) -> list[Path]:
    return [Path(str(name)).expanduser() for name in names]


def _config_files(settings: SshSettings) -> tuple[()] | list[str]:
    if settings.ssh_config is None:
        return ()
    if not settings.ssh_config.exists():
        raise SettingsError(f"the SSH configuration {settings.ssh_config} does not exist")
    return [str(settings.ssh_config)]


def _known_hosts(options: asyncssh.SSHClientConnectionOptions, settings: SshSettings) -> KnownHosts:
    if options.known_hosts is None and settings.known_hosts is None:
        raise SettingsError(
            "UserKnownHostsFile is none in ssh's configuration, which switches the check of the host key off; "
            "name a file there, or with --known-hosts"
        )
    configured = [str(name) for name in options.known_hosts or ()] if isinstance(options.known_hosts, list) else []
    return KnownHosts(known_hosts_files(settings.known_hosts, configured))
