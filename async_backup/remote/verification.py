"""Who computes the digests of stored files: the server, where a way was found, or this program from what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.config import Verify
from async_backup.errors import NoDigestCommand, RemoteError
from async_backup.remote.base import READBACK, StoredDigest
from async_backup.remote.retry import retried

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backup.remote.digest import ServerDigests


class Verification:
    """Digests as `mode` wants them, which may be set before the first is asked for."""

    def __init__(self, digests: ServerDigests, read_back: Callable[[bytes], Awaitable[str]], *, retries: int) -> None:
        """`read_back` gives the digest of a file of the server, computed here."""
        self._digests = digests
        self._read_back = read_back
        self._retries = retries
        self.mode = Verify.AUTO
        self.computed_by = READBACK
        """The name of what the server computes them with, or that files are read back."""
        self.reason = ""
        """Why they are read back, unless that is what was wanted."""

    @property
    def uses_shell(self) -> bool:
        return self._digests.is_in_shell

    async def find(self, path: bytes) -> None:
        """Find out how, by a file that is there; raises NoDigestCommand where the server cannot, and has to."""
        if self.mode is not Verify.READBACK:
            await self._find(path, await self._read_back(path))

    async def is_found(self, path: bytes, expected: str) -> bool:
        """Find out how, by a file that should have the digest `expected`; whether it has. Raises as `find`."""
        error: NoDigestCommand | None = None
        if self.mode is not Verify.READBACK:
            try:
                await self._find(path, expected)
            except NoDigestCommand as found:
                error = found
        if self.computed_by != READBACK:
            return True
        if await self._read_back(path) != expected:
            return False
        if error:
            raise error
        return True

    async def _find(self, path: bytes, expected: str) -> None:
        try:
            self.computed_by = await retried(lambda: self._digests.find(path, expected), self._retries)
            self.reason = ""
        except RemoteError as error:
            if self.mode is Verify.COMMAND:
                raise NoDigestCommand(
                    f"{error}; use --verify auto or readback to read archives back instead"
                ) from error
            self.reason = str(error)

    async def digest(self, path: bytes, size: int) -> StoredDigest:
        """The digest of a file of `size` bytes; raises RemoteError. What the server cannot tell is read back."""
        if self.computed_by != READBACK:
            try:
                return await retried(lambda: self._digests.digest(path, size), self._retries)
            except RemoteError:
                if self.mode is Verify.COMMAND:
                    raise
        return StoredDigest(await self._read_back(path), READBACK)
