"""The digest of a whole archive, from its bytes as they are read in their order."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from anyio import to_thread

from async_backup.verifying.model import BytesVerified

if TYPE_CHECKING:
    from async_backup.verifying.model import Progress


class Hasher:
    """Hashes the bytes of one archive, and tells how many there were."""

    def __init__(self, algorithm: str, progress: Progress) -> None:
        self.algorithm = algorithm
        self._digest = hashlib.new(algorithm, usedforsecurity=False)
        self._progress = progress
        self._size = 0

    async def add(self, data: memoryview | bytes) -> None:
        """Hash the next bytes in a thread."""
        await to_thread.run_sync(self.update, data)
        self.tell(len(data))

    def update(self, data: memoryview | bytes) -> None:
        """Hash the next bytes here, and tell nobody."""
        self._digest.update(data)
        self._size += len(data)

    def tell(self, size: int) -> None:
        """Say that so many bytes more are done with, even if they could not be read."""
        self._progress.tell(BytesVerified(size))

    def hexdigest(self, size: int) -> str:
        """In hexadecimal; empty where it was not all of `size` bytes that was hashed."""
        return self._digest.hexdigest() if self._size == size else ""
