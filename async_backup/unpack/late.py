"""What has to wait for the end of a restore, kept in a nameless local file: there may be millions of directories."""

from __future__ import annotations

import pickle
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from async_backup.unpack.members import Late, Unpacker

_IN_MEMORY = 4 << 20


class LateSpool:
    """Batches of late work in the order of the archive."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (closed by __exit__)
        self._offsets: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, batch: Sequence[Late]) -> None:
        """Keep a batch; raises OSError where there is no room for it."""
        if batch:
            offset = self._file.tell()
            self._file.write(pickle.dumps(list(batch), pickle.HIGHEST_PROTOCOL))
            self._offsets.append(offset)  # not sooner: a batch that was cut off is none

    def finish(self, unpacker: Unpacker, is_lost: Callable[[bytes], bool]) -> None:
        """Do it all: links, then directories from the last to the first; `is_lost` says that a target is not there.

        A directory may take the right to write into it away from its owner, so what is in it comes first.
        """
        made = set()
        for late in self._all(self._offsets):
            if late.member is None:
                made.add(late.path)
            if late.target and is_lost(late.target):
                unpacker.lose_link(late)
            elif late.member is None or late.target:
                unpacker.finish(late)
        for late in self._all(reversed(self._offsets), step=-1):
            if late.member is not None and not late.target:
                unpacker.finish(late._replace(is_new=late.is_new or late.path in made))

    def _all(self, offsets: Sequence[int] | Iterator[int], step: int = 1) -> Iterator[Late]:
        for offset in offsets:
            self._file.seek(offset)
            yield from pickle.load(self._file)[::step]
