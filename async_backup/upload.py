"""One attempt at an archive: planned and packed once, sent to every destination that wants it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from async_backup.body import BodyWriter
from async_backup.branch import Fan
from async_backup.config import Changed
from async_backup.errors import BackupError
from async_backup.events import EntryUploaded
from async_backup.tasks import task_group
from async_backup.transfer import Uploaded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backup.body import Body
    from async_backup.branch import Branch
    from async_backup.events import Listener
    from async_backup.model import Entry
    from async_backup.transfer import Transfer
    from async_backup.workers import Workers


class Uploader:
    """Packs entries and sends them."""

    def __init__(
        self,
        workers: Workers,
        listener: Listener,
        *,
        algorithm: str,
        changed: Changed = Changed.WARN,
        xattrs: bool = True,
    ) -> None:
        self._listener = listener
        self._new_writer = partial(
            BodyWriter, workers=workers, listener=listener, algorithm=algorithm, changed=changed, xattrs=xattrs
        )

    async def upload(
        self,
        entry: Entry,
        attempt: int,
        transfers: Sequence[Transfer],
        *,
        hard_links: bool,
        packed: Callable[[], None] = lambda: None,
    ) -> list[Uploaded | BackupError]:
        """What became of it with each of `transfers`, in their order; nothing is left where it is an error.

        `packed` is called when all that is left is to wait for servers, if there is such a moment.
        """
        files = [transfer.new_file(entry, attempt) for transfer in transfers]
        branches = [branch for _, branch in files]
        try:
            async with task_group() as tasks:
                for branch in branches:
                    tasks.start_soon(branch.run)
                body = await self._write(entry, branches, hard_links=hard_links, packed=packed)
        except BaseException:
            async with AsyncExitStack() as discarded:
                for transfer, (temporary, branch) in zip(transfers, files, strict=True):
                    if branch.is_whole:
                        await discarded.enter_async_context(transfer.discarded_on_error(temporary))
                raise
        if isinstance(body, BackupError):
            return [branch.error or body for branch in branches]
        return [
            branch.error or self._uploaded(transfer, Uploaded(entry, temporary, body, attempt, branch.copied))
            for transfer, (temporary, branch) in zip(transfers, files, strict=True)
        ]

    def _uploaded(self, transfer: Transfer, uploaded: Uploaded) -> Uploaded:
        body = uploaded.body
        self._listener(EntryUploaded(uploaded.entry, body.size, body.digest, transfer.destination))
        return uploaded

    async def _write(
        self, entry: Entry, branches: Sequence[Branch], *, hard_links: bool, packed: Callable[[], None]
    ) -> Body | BackupError:
        """What was written to the branches that are left, or why none is."""
        writer = self._new_writer(entry, Fan(branches))
        try:
            body = await writer.write(hard_links=hard_links, packed=packed)
        except BackupError as error:
            for branch in branches:
                branch.fail(error)
            return error
        for branch in branches:
            branch.close()
        return body
