"""Command lines that ask a server for digests, and what may be taken for an answer.

A file's name is handed over in octal, or is one in which there is nothing but plain characters: nothing in it can be
taken for shell. An answer has to be the digests and nothing else: fail closed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from async_backup.config import DIGITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.remote.ssh.shell import Answer

_VOLUMES = b"/volume[0-9]*"
"""Where a NAS of Synology has its file systems, each of which SFTP shows without that name."""

_VOLUME = re.compile(rb"/volume[0-9]{1,4}")
_MOST_VOLUMES = 16
_ESCAPED = re.compile(rb"[ \[\]]")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")
_HARMLESS = _PLAIN | frozenset(b" []:@=+,") | frozenset(range(0x80, 0x100))


def command_line(command: str, path: bytes) -> bytes:
    """One line of POSIX shell that feeds the file to `command`."""
    return b'%b; LC_ALL=C %b < "${f%%.}"' % (_name_in_f(path), command.encode())


def _name_in_f(path: bytes) -> bytes:
    """Has the name in the variable f; the full stop behind it keeps line breaks at its end, which $(...) cuts off."""
    name = b"".join(bytes([c]) if c in _PLAIN else b"\\0%03o" % c for c in path)
    return b"f=$(printf '%%b.' '%b')" % name


def search_line(path: bytes) -> bytes:
    """One line of POSIX shell that prints below which volumes of a NAS there is such a file."""
    return b'%b; for r in %b; do test -f "$r${f%%.}" && echo "$r"; done' % (_name_in_f(path), _VOLUMES)


def is_plain(path: bytes) -> bool:
    """Whether a shell, and every command, takes it for nothing but the name of a file."""
    return path.startswith(b"/") and _PLAIN.issuperset(path)


def bare_line(command: str, paths: Sequence[bytes]) -> bytes:
    """A line that names plain files to `command`, with nothing in it that only a shell understands."""
    return b"%b %b" % (command.encode(), b" ".join(paths))


def parse_digests(answer: Answer, algorithm: str, paths: Sequence[bytes]) -> list[str] | None:
    """The digests, if the answer is exactly one for each, in their order: `HEX`, `HEX  PATH` or `HEX *PATH`."""
    lines = answer.output.strip().splitlines()
    if answer.status != 0 or len(lines) != len(paths):
        return None
    pattern = re.compile(rb"([0-9a-f]{%d})(?: [ *](.*))?" % DIGITS[algorithm])
    found = [pattern.fullmatch(line) for line in lines]
    are_theirs = all(one and one[2] in {None, path} for one, path in zip(found, paths, strict=True))
    return [one[1].decode() for one in found if one] if are_theirs else None


def parse_digest(answer: Answer, algorithm: str) -> str | None:
    """The digest, if the answer is exactly one: `HEX`, `HEX  -` or `HEX *stdin`; None for anything else."""
    if answer.status != 0:
        return None
    pattern = rb"\s*([0-9a-f]{%d})(?: [ *]?(?:-|stdin))?\s*" % DIGITS[algorithm]
    match = re.fullmatch(pattern, answer.output)
    return match[1].decode() if match else None


class Lines(Protocol):
    """How a server is asked by command lines, and its answers are read."""

    def takes(self, path: bytes) -> bool:
        """Whether the file can be asked for."""

    def one(self, command: str, path: bytes) -> bytes:
        """The line that asks for one file."""

    def digest(self, answer: Answer, algorithm: str, path: bytes) -> str | None:
        """The digest of one file, if the answer is that."""

    def several(self, command: str, paths: Sequence[bytes]) -> bytes:
        """The line that asks for several files with plain names."""

    def digests(self, answer: Answer, algorithm: str, paths: Sequence[bytes]) -> list[str] | None:
        """The digests of several files, if the answer is exactly those, in their order."""

    def search(self, path: bytes) -> bytes:
        """The line that asks where else the file may be; empty where that cannot be asked."""

    def elsewhere(self, answer: Answer) -> list[Lines]:
        """How to ask for files that are where the answer says."""


class ShellLines:
    """For a POSIX shell: files of any name. A NAS may show its shell `/volume1/backup` for `/backup` of SFTP."""

    def __init__(self, root: bytes = b"") -> None:
        """`root` is what the shell has in front of the paths of SFTP."""
        self._root = root

    def __str__(self) -> str:
        return self._root.decode("ascii")

    def takes(self, path: bytes) -> bool:
        """See `Lines`."""
        del path
        return True

    def one(self, command: str, path: bytes) -> bytes:
        """See `Lines`."""
        return command_line(command, self._root + path)

    def digest(self, answer: Answer, algorithm: str, path: bytes) -> str | None:
        """See `Lines`."""
        del path
        return parse_digest(answer, algorithm)

    def several(self, command: str, paths: Sequence[bytes]) -> bytes:
        """See `Lines`."""
        return b"LC_ALL=C " + bare_line(command, self._below(paths))

    def digests(self, answer: Answer, algorithm: str, paths: Sequence[bytes]) -> list[str] | None:
        """See `Lines`."""
        return parse_digests(answer, algorithm, self._below(paths))

    def _below(self, paths: Sequence[bytes]) -> list[bytes]:
        return [self._root + path for path in paths]

    def search(self, path: bytes) -> bytes:
        """See `Lines`."""
        return search_line(path)

    def elsewhere(self, answer: Answer) -> list[Lines]:
        """See `Lines`."""
        return [ShellLines(root) for root in answer.output.split()[:_MOST_VOLUMES] if _VOLUME.fullmatch(root)]


class BareLines:
    """For whatever else takes a command and names, as the restricted shells of storage boxes do.

    Nobody knows how they read a line. So names may hold nothing that any shell takes for more than a part of a name,
    with a backslash before what parts words or stands for other names.
    """

    def __str__(self) -> str:
        return ""

    def takes(self, path: bytes) -> bool:
        """See `Lines`."""
        return path.startswith(b"/") and _HARMLESS.issuperset(path)

    def one(self, command: str, path: bytes) -> bytes:
        """See `Lines`."""
        return bare_line(command, [_ESCAPED.sub(rb"\\\g<0>", path)])

    def digest(self, answer: Answer, algorithm: str, path: bytes) -> str | None:
        """See `Lines`."""
        found = parse_digests(answer, algorithm, [path])
        return found[0] if found else None

    def several(self, command: str, paths: Sequence[bytes]) -> bytes:
        """See `Lines`."""
        return bare_line(command, paths)

    def digests(self, answer: Answer, algorithm: str, paths: Sequence[bytes]) -> list[str] | None:
        """See `Lines`."""
        return parse_digests(answer, algorithm, paths)

    def search(self, path: bytes) -> bytes:
        """See `Lines`."""
        del path
        return b""

    def elsewhere(self, answer: Answer) -> list[Lines]:
        """See `Lines`."""
        del answer
        return []
