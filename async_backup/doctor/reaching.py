"""The steps up to a connection: name, TCP, host key, authentication."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from anyio import BrokenResourceError, EndOfStream, connect_tcp, fail_after, getaddrinfo, move_on_after

from async_backup.doctor.findings import failed, joined, ok, seconds, skipped, warning
from async_backup.doctor.model import Step
from async_backup.errors import AuthenticationError, BackupError, HostKeyError
from async_backup.remote.ssh import examine

if TYPE_CHECKING:
    from anyio.abc import ByteReceiveStream

    from async_backup.doctor.model import Finding
    from async_backup.doctor.patient import Patient
    from async_backup.remote.ssh.examine import Hop

_TCP_PATIENCE = 10.0
_BANNER_PATIENCE = 3.0
_MOST_ADDRESSES = 4
_MOST_BANNER = 1024


async def resolve(patient: Patient) -> Finding:
    """The addresses of the server, or of the first jump host on the way to it."""
    hop = await examine.first_hop(patient.dialer, patient.settings.ssh)
    if hop.command:
        return skipped(Step.RESOLUTION, f"ssh's ProxyCommand makes the connection: {hop.command}")
    name = _hop_name(patient, hop)
    try:
        addresses = await _addresses(hop)
    except OSError as error:
        found = f"{name} cannot be resolved ({error.strerror or error})"
        advice = "Check the host name, Host and HostName in ~/.ssh/config, and the name server of this machine."
        return failed(Step.RESOLUTION, found, "The server cannot be reached by this name.", advice)
    shown = joined(addresses) if addresses != [hop.host] else "an address already"
    asked = patient.settings.destination.host
    through = f"{asked} is reached through it, and resolved by it." if hop.jump else ""
    return ok(Step.RESOLUTION, f"{name} is {shown}", through)


def _hop_name(patient: Patient, hop: Hop) -> str:
    asked = patient.settings.destination.host
    if hop.jump:
        return f"the jump host {_jump_name(hop)}"
    return hop.host if asked == hop.host else f"{asked} stands for {hop.host}, which"


def _jump_name(hop: Hop) -> str:
    first = hop.jump.split(",")[0]
    return first if hop.host in first else f"{first} ({hop.host})"


async def _addresses(hop: Hop) -> list[str]:
    found = await getaddrinfo(hop.host, hop.port, family=socket.AddressFamily(hop.family), type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _Try(NamedTuple):
    """What came of a connection to one address; `greeting` is the first line that the server sent."""

    address: str
    seconds: float
    error: str = ""
    greeting: bytes | None = None


async def reach(patient: Patient) -> Finding:
    """A TCP connection to each of the addresses, and whether SSH answers there."""
    hop = await examine.first_hop(patient.dialer, patient.settings.ssh)
    if hop.command:
        return skipped(Step.TCP, "ssh's ProxyCommand makes the connection")
    tries = [await _try(address, hop.port) for address in (await _addresses(hop))[:_MOST_ADDRESSES]]
    made, lost = [one for one in tries if not one.error], [one for one in tries if one.error]
    refusals = joined([f"{one.address}: {one.error}" for one in lost])
    if not made:
        advice = "See that an SSH server runs there, that the port (--port) is right, and that no firewall is between."
        return failed(Step.TCP, f"port {hop.port}: {refusals}", "The server cannot be reached.", advice)
    found = f"port {hop.port} of {joined([f'{one.address} in {seconds(one.seconds)}' for one in made])}"
    if any(one.greeting and not one.greeting.startswith(b"SSH-") for one in made):
        return _no_ssh(found, next(one.greeting for one in made if one.greeting))
    if lost:
        meaning = "Every new connection may first wait for an address that does not answer."
        advice = "Have the name resolve to addresses that work, or set AddressFamily in ~/.ssh/config."
        return warning(Step.TCP, f"{found}; not {refusals}", meaning, advice)
    asked = patient.settings.destination.host
    through = f"This is the jump host {_jump_name(hop)}; {asked} is reached through it." if hop.jump else ""
    return ok(Step.TCP, found, through)


def _no_ssh(found: str, greeting: bytes) -> Finding:
    said = greeting[:60].decode("ascii", "backslashreplace")
    advice = "Name the port of the SSH server with --port."
    return failed(Step.TCP, f"{found}, where it says {said!r}", "Something else than SSH answers there.", advice)


async def _try(address: str, port: int) -> _Try:
    began = time.monotonic()
    try:
        with fail_after(_TCP_PATIENCE):
            stream = await connect_tcp(address, port)
    except TimeoutError:
        return _Try(address, 0, f"no answer in {_TCP_PATIENCE:g} seconds")
    except OSError as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        return _Try(address, 0, os.strerror(cause.errno).lower() if cause.errno else str(cause))
    took = time.monotonic() - began
    async with stream:
        return _Try(address, took, greeting=await _greeting(stream))


async def _greeting(stream: ByteReceiveStream) -> bytes | None:
    """The first line, without its end; None where none came."""
    line = b""
    with move_on_after(_BANNER_PATIENCE):
        with suppress(EndOfStream, BrokenResourceError):
            while b"\n" not in line and len(line) < _MOST_BANNER:
                line += await stream.receive()
    return line.splitlines()[0] if line else None


async def check_host_key(patient: Patient) -> Finding:
    """The first connection: whether the key that the server shows is one that we trust."""
    try:
        connection = await patient.connection()
    except HostKeyError as error:
        return await _untrusted(patient, error)
    except AuthenticationError as error:
        patient.login_error = error
        key = await examine.fetch_host_key(patient.dialer)
    except BackupError as error:
        limits = "MaxStartups, PerSourcePenalties, MaxClientsPerHost, fail2ban"
        advice = f"If it is an SSH server: see its log, and its limits ({limits})."
        return failed(Step.HOST_KEY, str(error), "Client and server did not come to an agreement.", advice)
    else:
        key = examine.host_key_of(connection)
    listed = f"{key or 'the key'}, as in {examine.known_hosts_of(patient.dialer)}"
    return ok(Step.HOST_KEY, listed, "It is the server that you trust.")


async def _untrusted(patient: Patient, error: HostKeyError) -> Finding:
    found, _, advice = str(error).partition(". ")
    if examine.is_of_jump_host(error, patient.dialer):
        advice = "Log in to the jump host once with ssh, or add its key with ssh-keyscan, to the file of ~/.ssh/config."
        return failed(Step.HOST_KEY, f"the jump host's key: {error.__cause__}", "It is not trusted.", advice)
    sentence, colon, command = advice.rpartition("with: ssh-keyscan ")
    if colon:
        advice = f"{sentence}with:\nssh-keyscan {command}"
    is_changed = "CHANGED" in found
    meaning = "This may be another machine than you think." if is_changed else "Nobody vouches for this server yet."
    return failed(Step.HOST_KEY, found, meaning, advice or "Ask the server's owner; nothing is sent to it before.")


async def authenticate(patient: Patient) -> Finding:
    """As whom the server lets us in, and by which key."""
    error = patient.key_error or patient.login_error
    if error is not None:
        return await _shut_out(patient, error)
    user, key = examine.login_of(patient.dialer, await patient.connection())
    return ok(Step.AUTHENTICATION, f"logged in as {user} with {key}", "Nobody is asked for a password.")


async def _shut_out(patient: Patient, error: BackupError) -> Finding:
    found, _, advice = str(error).partition(". ") if patient.key_error is None else (str(error), "", "")
    offered = [*examine.offered_keys(patient.dialer)] if patient.key_error is None else []
    tried = f" Offered were: {joined(offered)}." if offered else ""
    methods = await examine.login_methods(patient.dialer)
    takes = f" The server takes: {', '.join(methods)}." if methods else ""
    if methods and "publickey" not in methods:
        where = "PubkeyAuthentication in sshd_config, SFTPAuthMethods of ProFTPD, or the settings of a storage box"
        advice = f"Have the server accept keys ({where})."
    return failed(Step.AUTHENTICATION, found, f"The server does not let us in.{takes}{tried}", advice)
