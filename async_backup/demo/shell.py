"""The shell of the demonstration's server: no shell at all, it knows the very lines that this program sends."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncssh

_LINE = re.compile(
    rb"echo (?P<begin>[0-9a-f]{24}); \{ (?P<what>.*); \} "
    rb"2>&1 </dev/null; s=\$\?; echo; echo (?P<end>[0-9a-f]{24}) \$s\n"
)
_ONE = re.compile(rb"f=\$\(printf '%b\.' '(?P<name>[^']*)'\); LC_ALL=C (?P<command>[^<]+) < \"\$\{f%\.\}\"")
_SEVERAL = re.compile(rb"LC_ALL=C (?P<command>[^/<]+)(?P<names>(?: /[\w./-]+)+)")
_OCTAL = re.compile(rb"\\0([0-7]{3})")
_ALGORITHMS = {"md5sum": "md5", "sha1sum": "sha1", "sha256sum": "sha256", "sha512sum": "sha512"}


class Printed(NamedTuple):
    """The exit status of a command and what it printed."""

    status: int
    output: bytes


class DemoShell:
    """Answers the lines of one session; `map_path` gives the local path of what the client calls by `path`."""

    def __init__(self, map_path: Callable[[bytes], bytes]) -> None:
        self._map_path = map_path

    async def serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Answer until the client ends its input."""
        if process.command != "exec sh":
            process.stderr.write(b"this server runs no commands\n")
            process.exit(127)
            return
        while line := await process.stdin.readline():
            process.stdout.write(await self.answer(line))
        process.exit(0)

    async def answer(self, line: bytes) -> bytes:
        """What a POSIX shell would print for `line`."""
        found = _LINE.fullmatch(line)
        if found is None:
            return b"sh: syntax error\n"
        printed = await self._do(found["what"])
        return b"%b\n%b\n%b %d\n" % (found["begin"], printed.output, found["end"], printed.status)

    async def _do(self, what: bytes) -> Printed:
        if one := _ONE.fullmatch(what):
            path = _OCTAL.sub(lambda digits: bytes([int(digits[1], 8)]), one["name"])
            return await self.run(one["command"].decode(), path)
        if several := _SEVERAL.fullmatch(what):
            return await self.run_for_each(several["command"].decode(), several["names"].split())
        return Printed(2, b"sh: syntax error\n")

    async def run_for_each(self, command: str, paths: Sequence[bytes]) -> Printed:
        """Run a digest command with the names of several files: it prints a line with the name for each."""
        printed = [(path, await self.run(command, path)) for path in paths]
        status = max(one.status for _, one in printed)
        return Printed(status, b"".join(one.output.replace(b"  -\n", b"  %b\n" % path) for path, one in printed))

    async def run(self, command: str, path: bytes) -> Printed:
        """Run a digest command with the file at `path` as its input."""
        algorithm = _ALGORITHMS.get(command)
        if algorithm is None:
            return Printed(127, b"sh: %b: not found\n" % command.encode())
        try:
            digest = await to_thread.run_sync(_digest, self._map_path(path), algorithm)
        except OSError as error:
            return Printed(2, b"sh: cannot open: %b\n" % str(error.strerror).encode())
        return Printed(0, b"%b  -\n" % digest.encode())


def _digest(path: bytes, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
