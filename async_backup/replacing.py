"""Local files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def written_beside(
    path: Path, *, suffix: str = ".tmp", place: Callable[[str, Path], None] = os.replace
) -> Iterator[BinaryIO]:
    """A new file of mode 0600 beside `path`, which takes that name in one step once the block has ended well.

    All of it has reached the disk by then: readers see the old file or the new one, never half. After an error
    nothing is left of it, and the old file is untouched. `place` gives it the name. Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=".async-backup-", suffix=suffix, dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        place(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
