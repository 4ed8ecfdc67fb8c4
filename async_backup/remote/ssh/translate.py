"""From asyncssh's four families of exceptions to ours, in one place."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncssh

from async_backup.errors import (
    AuthenticationError,
    BackupError,
    ConnectionDropped,
    HostKeyError,
    RemoteDenied,
    RemoteError,
    RemoteFull,
    RemoteNotFound,
    SettingsError,
    Unreachable,
    unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST_ERRORS = (asyncssh.Error, OSError, ValueError)
"""All that asyncssh raises for reasons outside this program."""


@contextmanager
def translated(host: str, doing: str) -> Iterator[None]:
    """Turn what asyncssh raises inside the block into a RemoteError that names the host and the deed."""
    try:
        yield
    except REQUEST_ERRORS as error:
        raise request_error(error, host, doing) from error


def request_error(error: BaseException, host: str, doing: str) -> RemoteError:
    """The error of a request on an open connection."""
    subject = f"{host}: {doing}"
    match error:
        case asyncssh.SFTPConnectionLost() | asyncssh.SFTPNoConnection():
            return ConnectionDropped(f"{subject}: the SFTP channel was closed")
        case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath():
            return RemoteNotFound(f"{subject}: no such file or directory")
        case asyncssh.SFTPPermissionDenied() | asyncssh.SFTPWriteProtect():
            return RemoteDenied(f"{subject}: permission denied; check owner and mode of the directory on the server")
        case asyncssh.SFTPNoSpaceOnFilesystem() | asyncssh.SFTPQuotaExceeded():
            return full(host)
        case asyncssh.SFTPBadMessage():
            return RemoteError(f"{subject}: the server does not take this name (is it longer than 255 bytes?)")
        case asyncssh.SFTPOpUnsupported():
            return unsupported(f"{subject}: the server says {error.reason!r}")
        case asyncssh.SFTPError():
            return _by_text(error, subject, host)
        case asyncssh.Error() | OSError():
            return ConnectionDropped(f"{subject}: the connection was lost ({_text(error)})")
    return RemoteError(f"{subject}: {_text(error)}")


def is_request_refused(error: BaseException) -> bool:
    """Whether a session was opened, and what it was for was refused: by `error`, or what it comes from."""
    opening = error if isinstance(error, asyncssh.ChannelOpenError) else error.__cause__
    return isinstance(opening, asyncssh.ChannelOpenError) and "Session request failed" in opening.reason


def no_sftp(error: asyncssh.SFTPError, host: str) -> Unreachable:
    """The error of a server that took the request for SFTP, and then said something else than SFTP, or nothing."""
    if error.reason.startswith("0 bytes read"):
        return Unreachable(
            f"{host}: the server's SFTP ended at once; is its program there (on OpenWrt: opkg install "
            "openssh-sftp-server), and is the account's shell one that lets it run?"
        )
    return Unreachable(
        f"{host}: the server's SFTP does not answer as it should ({error.reason}); "
        "does a start-up file of the account's shell print something?"
    )


def full(host: str) -> RemoteFull:
    """The error for a disk or quota that is used up."""
    return RemoteFull(f"{host}: the disk (or the quota) is full; make room on the server and run again")


def _by_text(error: asyncssh.SFTPError, subject: str, host: str) -> RemoteError:
    text = error.reason.lower()
    if "no space" in text or "disk space" in text or "quota" in text:
        return full(host)
    if "read-only" in text:
        return RemoteDenied(f"{subject}: the file system of the server is read-only")
    return RemoteError(f"{subject}: the server says {error.reason!r}")


def connect_error(error: BaseException, host: str, port: int) -> BackupError:
    """The error of making a connection, except for host keys, which need a second look."""
    where = f"{host} port {port}"
    match error:
        case asyncssh.PermissionDenied():
            return AuthenticationError(
                f"{host}: no key was accepted ({error.reason}). Name one with --key, load it into ssh-agent, "
                "and see that its public half is in ~/.ssh/authorized_keys on the server"
            )
        case asyncssh.HostKeyNotVerifiable():
            return HostKeyError(f"{host}: {error.reason}")
        case asyncssh.KeyExchangeFailed() | asyncssh.ProtocolNotSupported():
            return Unreachable(f"{where}: client and server have no algorithm in common ({error.reason})")
        case TimeoutError():
            return Unreachable(f"{where}: no answer in time; check the address, the network and firewalls")
        case ConnectionRefusedError():
            return Unreachable(f"{where}: connection refused; is an SSH server running there, and is --port right?")
        case socket.gaierror():
            return Unreachable(f"{host}: the name cannot be resolved ({error.strerror}); check the host name")
        case asyncssh.DisconnectError() | ConnectionError():
            return Unreachable(
                f"{where}: the server closed the connection ({_text(error)}); it may not speak SSH, or limit "
                "connections (MaxStartups, fail2ban, PerSourcePenalties)"
            )
        case asyncssh.Error() | OSError():
            return Unreachable(f"{where}: {_text(error)}")
    return SettingsError(f"{host}: the SSH settings cannot be used: {_text(error)}")


def _text(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or error or type(error).__name__)
