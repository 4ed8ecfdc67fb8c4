"""Servers without a shell, whose digests come another way: SFTP's check-file, and commands by themselves."""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from anyio import sleep_forever, to_thread
from asyncssh.constants import FXP_EXTENDED_REPLY
from asyncssh.packet import String
from asyncssh.sftp import SFTPServerHandler

from tests.embedded import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import asyncssh
    from asyncssh.packet import SSHPacket

    Answer = Callable[[str, bytes], bytes]


class _Reply:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def encode(self, version: int) -> bytes:
        del version
        return self.content


def as_proftpd(algorithm: str, digest: bytes) -> bytes:
    return String(algorithm) + digest


def as_the_draft(algorithm: str, digest: bytes) -> bytes:
    return String("check-file") + String(algorithm) + digest


class ChecksFiles(Fault):
    """SFTP computes digests of files below `root`, and `answer` words them; nothing can be run.

    From the `silent_from`-th request on there is no answer.
    """

    def __init__(self, root: Path, answer: Answer = as_proftpd, *, silent_from: int = 1 << 30) -> None:
        super().__init__()
        self._root = root
        self._answer = answer
        self._silent_from = silent_from

    @contextmanager
    def installed(self) -> Iterator[None]:
        known = SFTPServerHandler._packet_handlers, SFTPServerHandler._return_types
        name = b"check-file-name"
        SFTPServerHandler._packet_handlers = {**known[0], name: self._check}
        SFTPServerHandler._return_types = {**known[1], name: FXP_EXTENDED_REPLY}
        try:
            yield
        finally:
            SFTPServerHandler._packet_handlers, SFTPServerHandler._return_types = known

    async def _check(self, handler: SFTPServerHandler, packet: SSHPacket) -> _Reply:
        del handler
        self.hit()
        if self.fired >= self._silent_from:
            await sleep_forever()
        path, algorithm = packet.get_string(), packet.get_string().decode()
        assert (packet.get_uint64(), packet.get_uint64(), packet.get_uint32()) == (0, 0, 0)
        packet.check_end()
        content = await to_thread.run_sync((self._root / path.decode().lstrip("/")).read_bytes)
        return _Reply(self._answer(algorithm, hashlib.new(algorithm, content).digest()))

    async def on_command(self, process: asyncssh.SSHServerProcess[bytes]) -> bool:
        process.stdout.write(b"This service allows sftp connections only.\n")
        process.exit(1)
        return True


class LoneCommands(Fault):
    """No shell, but these commands, each by itself, on files below `root`; with several names only `with_several`."""

    def __init__(self, root: Path, *commands: str, with_several: bool = True) -> None:
        super().__init__()
        self._root = root
        self._commands = commands
        self._with_several = with_several
        self.lines: list[str] = []

    async def on_command(self, process: asyncssh.SSHServerProcess[bytes]) -> bool:
        self.hit()
        line = process.command or ""
        assert line.isprintable()
        self.lines.append(line)
        command, _, names = line.partition(" /")
        paths = [f"/{name}" for name in names.split(" /")]
        if command not in self._commands or (len(paths) > 1 and not self._with_several):
            process.stderr.write(b"Command not found. Use 'help' to get a list of commands.\n")
            process.exit(1)
            return True
        for path in (re.sub(r"\\(.)", r"\1", path) for path in paths):
            content = await to_thread.run_sync((self._root / path[1:]).read_bytes)
            process.stdout.write(f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}  {path}\n".encode())
        process.exit(0)
        return True
