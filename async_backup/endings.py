"""Many archives, each known by its end alone: the footer, and the checksum files beside it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.index import FOOTER_SIZE, FOOTER_TAG, read_footer
from async_backup.checksum_files import SIZE_LIMIT, checksum_name, recorded_digest
from async_backup.errors import SERVER_GONE, RemoteDenied, RemoteError
from async_backup.remote.places import open_reader, path_in
from async_backup.tasks import side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.archive.index import Footer
    from async_backup.catalog import StoredArchive
    from async_backup.remote.base import RemoteStore

_AT_ONCE = 64


class Ending(NamedTuple):
    """The footer of an archive; without one, `problem` says why it is not known to be whole.

    `is_unreadable` where the server did not let us look.
    """

    footer: Footer | None
    problem: str = ""
    is_unreadable: bool = False

    @property
    def is_incomplete(self) -> bool:
        """Whether it is known to lack something that could not be read when it was made."""
        return self.footer is not None and self.footer.is_incomplete


async def read_endings(store: RemoteStore, archives: Sequence[StoredArchive]) -> list[Ending]:
    """The ending of each archive; raises RemoteError only where the server is gone."""

    async def read(archive: StoredArchive) -> Ending:
        try:
            tail = await store.read_ending(path_in(store, archive.path), archive.size, FOOTER_SIZE)
            return Ending(_whole_footer(tail, archive.size))
        except ValueError as error:
            return Ending(None, str(error))
        except SERVER_GONE:
            raise
        except RemoteError as error:
            is_unreadable = isinstance(error, RemoteDenied)
            return Ending(None, f"its end cannot be read: {error}", is_unreadable=is_unreadable)

    return await side_by_side(read, archives, at_once=_AT_ONCE)


def _whole_footer(tail: bytes, size: int) -> Footer:
    try:
        footer = read_footer(tail)
    except ValueError as error:
        if FOOTER_TAG in tail:
            raise
        raise ValueError("it does not end as ours do: made by something else, or cut short") from error
    if footer.index_offset + footer.index_length + FOOTER_SIZE != size:
        raise ValueError("the footer tells of another size: the archive was cut or put together")
    return footer


class Recorded(NamedTuple):
    """A checksum file: its bytes, and the digest of its archive where it records that."""

    content: bytes
    digest: str | None


async def read_checksums(store: RemoteStore, archives: Sequence[StoredArchive]) -> list[dict[str, str | None]]:
    """The values in the checksum files of each archive, by algorithm; None where a file holds something else.

    Raises RemoteError only where the server is gone.
    """
    files = [(archive.path, algorithm) for archive in archives for algorithm in archive.checksums]

    async def read(file: tuple[bytes, str]) -> str | None:
        return (await read_checksum_file(store, *file)).digest

    values = iter(await side_by_side(read, files, at_once=_AT_ONCE))
    return [{algorithm: next(values) for algorithm in archive.checksums} for archive in archives]


async def read_checksum_file(store: RemoteStore, archive: bytes, algorithm: str) -> Recorded:
    """One checksum file of the archive at that path in the destination; one that cannot be read is empty.

    Raises RemoteError only where the server is gone.
    """
    try:
        async with open_reader(store, checksum_name(archive, algorithm)) as reader:
            content = await reader.read(0, min(reader.size, SIZE_LIMIT + 1))
    except SERVER_GONE:
        raise
    except RemoteError:
        content = b""
    with suppress(ValueError):
        return Recorded(content, recorded_digest(content, algorithm, archive.rpartition(b"/")[2]))
    return Recorded(content, None)
