"""What a backup needs of the place that it writes to. Every store passes the same contract suite.

Paths are bytes; a relative one is below the directory in which the server puts a new session. Every method
raises a subclass of RemoteError and nothing else; one that is transient was tried again already as often as the
settings allow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


READBACK = "readback"
"""What has computed a digest where this program did, from what it read back."""


class RemoteEntry(NamedTuple):
    """A name in a directory: when its content last changed by the server's clock (seconds), and its size in bytes."""

    name: bytes
    mtime: float
    size: int = 0
    is_directory: bool = False
    is_file: bool = True
    """Whether it is a regular file; a symbolic link is neither that nor a directory."""


class StoredDigest(NamedTuple):
    """A digest in hexadecimal, computed from the server's copy, and by what: a command's name, or "readback"."""

    value: str
    computed_by: str


class RemoteFile(Protocol):
    """A new file while it is written, by any number of writers at once."""

    async def write(self, offset: int, data: memoryview | bytes) -> None:
        """Store `data` at `offset`; returns when the server has it. On error any part of it may be there.

        What stands before it is to be written as well, or this may wait for ever: some servers want it first.
        """

    async def copy(self, offset: int, source: RemoteReader, source_offset: int, length: int) -> None:
        """Have the server put bytes of another file that is open at `offset`, without sending them.

        Not every server can: any RemoteError but ConnectionDropped may mean that, and then anything may be there.
        """

    async def finish(self) -> None:
        """Close the file after its data has reached the disk, as far as the server can promise that."""

    async def write_whole(self, data: memoryview | bytes) -> None:
        """Write all there is and finish; what is small takes a single round trip."""

    async def abandon(self) -> None:
        """Close the file without any promise; raises nothing."""


class RemoteReader(Protocol):
    """A file that is open for reading, by any number of readers at once."""

    size: int
    """Bytes when it was opened."""

    async def read(self, offset: int, length: int) -> bytes:
        """Exactly the `length` bytes from `offset` on; raises RemoteTruncated where the file ends before."""

    async def read_into(self, offset: int, target: memoryview) -> None:
        """Fill `target` with the bytes from `offset` on, as `read` would; part of it may be filled when it raises."""

    async def close(self) -> None:
        """Close the file; raises nothing, and does not wait long."""


class RemoteStore(Protocol):
    """A directory tree on a server."""

    directory: bytes
    """The destination."""

    async def make_directory(self, path: bytes) -> None:
        """Make a directory, with its parents; one that exists is fine."""

    async def entries(self, path: bytes) -> Sequence[RemoteEntry]:
        """What is in a directory, without `.` and `..`; raises RemoteNotFound."""

    async def create(self, path: bytes) -> RemoteFile:
        """Make a new, empty file that only its owner may read.

        Raises RemoteExists where the name is taken, also by a dangling symbolic link, which is never followed.
        Give it a name that nobody else can have: after a lost answer, what stands there counts as ours and goes.
        """

    async def open(self, path: bytes) -> RemoteReader:
        """Open a regular file for reading; raises RemoteNotFound, RemoteError where it is something else.

        Symbolic links are not followed, and named pipes are not opened.
        """

    async def read_ending(self, path: bytes, size: int, length: int) -> bytes:
        """The last `length` bytes, or all, of a regular file that has `size` bytes by a listing of its directory.

        Made for many small files: cheaper than `open`, but the caller vouches for what the name is. Raises
        RemoteNotFound, RemoteTruncated where the file is shorter by now.
        """

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """The digest of the server's copy of a file of `size` bytes; raises RemoteNotFound."""

    async def rename(self, source: bytes, target: bytes) -> None:
        """Give a file its final name in one step.

        Raises RemoteExists where `target` is taken: both files are then untouched.
        """

    async def link(self, source: bytes, target: bytes) -> None:
        """Give a file a further name. Not every server or file system can: any RemoteError may mean that.

        `target` has to be a name that nobody else can have: after a lost answer, what stands there counts as ours.
        """

    async def remove(self, path: bytes) -> None:
        """Remove a file; one that is gone is fine."""

    async def sync_directory(self, path: bytes) -> None:
        """Make the names in a directory durable, as far as the server can; not being able to is no error."""
