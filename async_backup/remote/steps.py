"""What takes several requests on one channel, or an error that a second look explains."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from async_backup.errors import ConnectionDropped, RemoteDenied, RemoteError, RemoteExists, RemoteNotFound
from async_backup.remote.handles import close_quietly
from async_backup.remote.ssh.channel import OpenFlags
from async_backup.tasks import task_group

if TYPE_CHECKING:
    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.handle import Handle


_TURNS = 3
"""Of the event loop, in which a request to open a file leaves: it has to be under way before the file is closed."""


async def make_directory(channel: Channel, path: bytes) -> None:
    """Make a directory, with its parents."""
    if await channel.is_directory(path):
        return
    parent = path.rpartition(b"/")[0]
    if parent:
        await make_directory(channel, parent)
    try:
        await channel.make_directory(path)
    except ConnectionDropped:
        raise
    except RemoteError as error:
        if not await channel.is_directory(path):
            if await channel.exists(path):
                raise _not_a_directory(channel, path) from error
            raise await channel.explain(error, parent or b".") from error


async def real_directory(channel: Channel, path: bytes) -> bytes | None:
    """The real path of a directory, in one round trip; None where there is none."""
    found: list[bytes] = []

    async def resolve() -> None:
        with suppress(RemoteError):  # where it is not there, or where `is_directory` fails alike
            found.append(await channel.real_path(path))

    async with task_group() as tasks:
        tasks.start_soon(resolve)
        is_there = await channel.is_directory(path)
    if not is_there:
        return None
    return found[0] if found else await channel.real_path(path)


async def find_directory(channel: Channel, path: bytes) -> bytes:
    """The real path of a directory that has to be there."""
    if real := await real_directory(channel, path):
        return real
    if await channel.exists(path):
        raise _not_a_directory(channel, path)
    raise RemoteNotFound(
        f"{channel.connection.host}: there is no directory {_shown(path)} on the server; check the destination "
        "(a relative one is below the home directory) and the account"
    )


def _not_a_directory(channel: Channel, path: bytes) -> RemoteError:
    return RemoteError(f"{channel.connection.host}: {_shown(path)} exists on the server and is not a directory")


async def create(channel: Channel, path: bytes, *, was_tried: bool) -> Handle:
    """Make a new file; a name that is taken by an attempt of ours counts as a lost connection."""
    try:
        return await channel.open(path, OpenFlags.CREATE)
    except ConnectionDropped:
        raise
    except RemoteError as error:
        reason = await explain_taken(channel, error, path)
        if was_tried and isinstance(reason, RemoteExists):
            raise ConnectionDropped(f"{reason} (made by an attempt whose answer was lost)") from error
        raise reason from error


async def make_private(handle: Handle) -> None:
    """Have a new file for its owner alone; where that fails, the file is closed."""
    try:
        await handle.channel.make_private(handle.path)
    except BaseException:
        await close_quietly(handle)
        raise


async def explain_taken(channel: Channel, error: RemoteError, path: bytes) -> RemoteError:
    """A better error where a new name was refused: as a plain failure by OpenSSH, as permission denied by ProFTPD."""
    if type(error) in {RemoteError, RemoteDenied} and await channel.exists(path):
        other = ", or the server makes files, but refuses their mode" if isinstance(error, RemoteDenied) else ""
        return _taken(channel, path, other)
    return await channel.explain(error, path.rpartition(b"/")[0] or b".")


async def check_free(channel: Channel, path: bytes) -> None:
    """Raise RemoteExists where the name is taken, as far as the account may look."""
    with suppress(RemoteDenied):
        if await channel.exists(path):
            raise _taken(channel, path)


def _taken(channel: Channel, path: bytes, other: str = "") -> RemoteExists:
    name = _shown(path.rpartition(b"/")[2])
    return RemoteExists(f"{channel.connection.host}: {name} exists already{other}; nothing is overwritten")


async def open_regular(channel: Channel, path: bytes) -> tuple[Handle, int]:
    """Open a regular file for reading; its size is that of before.

    The look comes first, for the price of a round trip: to open a named pipe would block the server's process for
    good, and that process outlives the connection.
    """
    entry = await channel.entry(path)
    if not entry.is_file:
        raise RemoteError(f"{channel.connection.host}: {_shown(path)} is not a regular file")
    return await channel.open(path, OpenFlags.READ), entry.size


async def write_at_once(channel: Channel, path: bytes, content: bytes) -> None:
    """Make a file and write it from its beginning to its end."""
    handle = await create(channel, path, was_tried=False)
    try:
        await handle.write_whole(content)
    except BaseException:
        await close_quietly(handle)
        raise


async def write_apart(channel: Channel, path: bytes, content: bytes) -> Handle | None:
    """Make a file and write its second half first, and open it once more before it is closed; raises RemoteError.

    So much an archive of several segments asks of a server, which this tries out in three round trips. Returns the
    second handle, which the caller has to close, unless the server refuses one.
    """
    first = await create(channel, path, was_tried=False)
    middle, others = len(content) // 2, set["Handle"]()

    async def open_again() -> None:
        with suppress(RemoteError):
            others.add(await channel.open(path, OpenFlags.WRITE))

    try:
        async with task_group() as tasks:
            tasks.start_soon(first.write, middle, content[middle:])
            tasks.start_soon(first.write, 0, content[:middle])
        async with task_group() as tasks:  # only then, or who begins the file anew there would lose nothing
            tasks.start_soon(open_again)
            for _ in range(_TURNS):
                await checkpoint()
            tasks.start_soon(first.sync)
            tasks.start_soon(first.close)
    except BaseException as error:
        for handle in (first, *others):
            await close_quietly(handle)
        if isinstance(error, RemoteError) and not isinstance(error, ConnectionDropped):
            raise await channel.explain(error, path.rpartition(b"/")[0] or b".") from error
        raise
    return next(iter(others), None)


async def remove(channel: Channel, path: bytes) -> None:
    """Remove a file; one that is gone is fine."""
    with suppress(RemoteNotFound):
        await channel.remove(path)


async def sync_directory(channel: Channel, path: bytes) -> None:
    """Flush a directory: OpenSSH does that through a handle that is open for reading."""
    handle = await channel.open(path, OpenFlags.READ)
    async with task_group() as tasks:
        tasks.start_soon(handle.sync)
        tasks.start_soon(close_quietly, handle)  # sent right behind it


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
