"""What can go wrong, what it means for the exit code, and whether trying again can help."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the command line; README holds the same table."""

    COMPLETE = 0
    """Every entry was committed whole."""
    NOTHING_DONE = 1
    """Nothing could be done: no connection, no source, no directory on the server."""
    USAGE = 2
    """Wrong usage or settings."""
    INCOMPLETE = 3
    """Some entries or some files were not backed up."""
    LOCKED = 4
    """Another run of the same is under way."""
    INTERRUPTED = 130
    """Stopped by a signal."""


class BackupError(Exception):
    """The base of all expected failures; its text is for people: what happened, where, and what to do."""

    exit_code = ExitCode.NOTHING_DONE
    is_transient = False
    """Whether the same request may succeed a little later or over another connection."""
    is_of_reuse = False
    """Whether something older at the destination may be at fault, so that sending all is not the same once more."""


class SettingsError(BackupError):
    """The settings cannot be used; nothing was sent."""

    exit_code = ExitCode.USAGE


class Locked(BackupError):
    """Another run of the same profile to the same destination is under way; nothing was done."""

    exit_code = ExitCode.LOCKED


class SourceError(BackupError):
    """A source or an entry cannot be read."""


class SourceMoved(BackupError):
    """The source changed so much while it was read that the archive has to be made again."""

    is_transient = True


class SourceChanged(BackupError):
    """A file changed while it was read, and an archive of it as it came is not wanted."""

    is_transient = True


class WorkerDied(BackupError):
    """A packing process ended in the middle of its work, killed by the system for its memory perhaps."""

    is_transient = True


class PackingFailed(BackupError):
    """A segment cannot be packed, not even by a packing process of its own."""


class NoSpace(BackupError):
    """Local memory or disk for segments on their way could not be reserved."""


class DamagedArchive(BackupError):
    """An archive is not as it was made: cut, changed, or made by something else."""


class RestoreError(BackupError):
    """Nothing can be restored as it was asked for: a path that is not there, files in the way, no room."""


class NotInArchive(RestoreError):
    """A path is not in an archive."""


class RemoteError(BackupError):
    """The server refused something or could not do it."""

    is_unsupported = False
    """Whether it has no such request at all."""


def unsupported(text: str) -> RemoteError:
    """The error of a request that a server does not have."""
    error = RemoteError(text)
    error.is_unsupported = True
    return error


class Unreachable(RemoteError):
    """No connection could be made, or none is left."""


class HostKeyError(RemoteError):
    """The server's host key is unknown, has changed or was revoked."""


class AuthenticationError(RemoteError):
    """The server took none of our keys."""


class ConnectionDropped(RemoteError):
    """A connection or a channel ended, or gave no answer for too long."""

    is_transient = True


class NoSession(RemoteError):
    """The server opens no further session on this connection."""


class RemoteNotFound(RemoteError):
    """There is no such file or directory on the server."""


class RemoteTruncated(RemoteError):
    """A file on the server ends before the bytes that were asked for."""


class RemoteExists(RemoteError):
    """The name is taken on the server; nothing is overwritten."""


class RemoteDenied(RemoteError):
    """The account on the server may not do this."""


class RemoteFull(RemoteError):
    """The file system of the server is full."""


class NoDigestCommand(RemoteError):
    """The server offers no command that computes the digest of the files that we see over SFTP."""


class DigestMismatch(RemoteError):
    """The server holds other bytes than those that were sent."""

    is_transient = True

    def __init__(self, name: str, *, sent: str, stored: str) -> None:
        super().__init__(f"hash values of {name} do not match: {sent} before upload, {stored} after")
        self.sent = sent
        self.stored = stored


class CopyMismatch(DigestMismatch):
    """As DigestMismatch, of an archive of which pieces were copied from `older` on the server, which may be damaged."""

    is_of_reuse = True

    def __init__(self, name: str, *, sent: str, stored: str, older: str) -> None:
        super().__init__(name, sent=sent, stored=stored)
        self.older = older


class LinkFailed(RemoteError):
    """An archive was linked to and cannot be used, since it is not what it was, say; nothing has been sent yet."""

    is_transient = True
    is_of_reuse = True


NO_SERVER = (Unreachable, HostKeyError, AuthenticationError)
"""Errors after which there is no connection, and none can be made."""

SERVER_GONE = (ConnectionDropped, *NO_SERVER)
"""Errors after which every other request would fail as well."""
