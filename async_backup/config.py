"""Settings: made once at the edge, complete and valid, then handed down in small pieces."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from async_backup.archive.selection import Selection, compile_patterns
from async_backup.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEFAULT_TIMESTAMP: Final = "%Y-%m-%dT%H%M%S"
DIGITS: Final = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
"""Hexadecimal digits of each hash."""

HASHES: Final = tuple(DIGITS)
NAME_LIMIT: Final = 255
"""Bytes of a file name on nearly every file system."""

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_REMOTE = re.compile(r"(?:(?P<user>[^@/]+)@)?(?P<host>\[[^]]+\]|[^:/@\[\]]+):(?P<directory>.*)", re.DOTALL)
_MOST_PROCESSES = 256
_SMALLEST_SEGMENT = 64 << 10
_LARGEST_SEGMENT = 256 << 20


def parse_size(text: str) -> int:
    """Bytes from `4MiB`, `10M` or `512k` (powers of 1024); raises SettingsError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise SettingsError(f"{text!r} is not a size; write 4MiB, 10M, 512k or a number of bytes")
    return int(float(match[1]) * _UNITS[match[2].lower()])


_NOT_IN_A_PATH = re.compile(r"[%?#\x00-\x1f\x7f]")


def _quoted(match: re.Match[str]) -> str:
    return quote(match[0])


@dataclass(frozen=True, slots=True)
class Destination:
    """A directory on a server. A relative one is below the home directory; `host` may be an alias of ssh's."""

    host: str
    directory: bytes
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Destination:
        """From `user@host:/dir`, `host:dir` or `sftp://user@host:port/dir`; raises SettingsError."""
        if text.startswith(("sftp://", "ssh://")):
            return cls._from_url(text)
        match = _REMOTE.fullmatch(text)
        if match is None:
            raise SettingsError(
                f"{text!r} is not a destination; write user@host:/dir, host:dir or sftp://user@host:port/dir"
            )
        if re.match(r"\d+:", match["directory"]):
            raise SettingsError(f"{text!r} looks like a port; write sftp://user@host:port/dir, or use --port")
        return cls(match["host"].strip("[]"), _directory(match["directory"]), match["user"])

    @classmethod
    def _from_url(cls, text: str) -> Destination:
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise SettingsError(f"{text!r} is not a valid address: {error}") from error
        if not host or url.password is not None or url.query or url.fragment:
            raise SettingsError(f"{text!r} is not a destination; write sftp://user@host:port/dir, without a password")
        user = unquote(url.username) if url.username else None
        return cls(host, _directory(unquote(url.path, errors="surrogateescape")), user, port)

    def __str__(self) -> str:
        directory = os.fsdecode(self.directory)
        if self.port is None:
            return f"{self.user}@{self.host}:{directory}" if self.user else f"{self.host}:{directory}"
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        below_home = "" if directory.startswith("/") else "/~/"
        return f"sftp://{user}{host}:{self.port}{below_home}{_NOT_IN_A_PATH.sub(_quoted, directory)}"


def _directory(text: str) -> bytes:
    if text in {"~", "~/"} or not text:
        return b"."
    if text.startswith("/~/"):
        text = text[1:]
    directory = os.fsencode(text.removeprefix("~/") or ".")
    if b"\0" in directory or b"\n" in directory:
        raise SettingsError("the directory of the destination holds a line break or a NUL")
    return b"/" + directory.strip(b"/") if directory.startswith(b"/") else directory.rstrip(b"/")


class Verify(StrEnum):
    """Where the digest of a stored archive is computed."""

    AUTO = "auto"
    COMMAND = "command"
    READBACK = "readback"


class Changed(StrEnum):
    """What to make of a file that changed under every attempt to read it: a loss, a failed entry, or nothing."""

    WARN = "warn"
    FAIL = "fail"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How to reach and trust the server; None means what ssh(1) would use. `timeout` is in seconds.

    `ask_passphrase` is called in a thread with a key's path and returns its passphrase, or None to give up.
    """

    keys: tuple[Path, ...] = ()
    known_hosts: Path | None = None
    ssh_config: Path | None = None
    timeout: float = 60.0
    ask_passphrase: Callable[[Path], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of every stage; sizes in bytes, the rate in bytes a second over all connections."""

    workers: int = 8
    processes: int = field(default_factory=lambda: min(os.cpu_count() or 1, _MOST_PROCESSES))
    connections: int = 4
    channels: int = 2
    queue: int = 64
    segment_size: int = 4 << 20
    retries: int = 3
    rate: int | None = None

    def __post_init__(self) -> None:
        for name, most in (
            ("workers", 256),
            ("processes", _MOST_PROCESSES),
            ("connections", 64),
            ("channels", 8),
            ("queue", 65536),
        ):
            _check_range(name, getattr(self, name), 1, most)
        _check_range("retries", self.retries, 0, 100)
        _check_range("segment size", self.segment_size, _SMALLEST_SEGMENT, _LARGEST_SEGMENT)
        if self.rate is not None and self.rate < 1024:
            raise SettingsError(f"a rate limit of {self.rate} bytes a second is too low; the least is 1k")

    @property
    def verifications(self) -> int:
        """Archives that may be verified and committed at once: mostly they wait for answers."""
        return 64 * self.connections

    @property
    def small_archives(self) -> int:
        """Small archives that may wait for the server's answers beside those that the workers pack."""
        return 16 * self.connections * self.channels

    @property
    def restores(self) -> int:
        """Archives that may be restored at once, all but one of them small: mostly they wait for answers."""
        return 8 * self.connections * self.channels

    @property
    def slots(self) -> int:
        """Packed segments that may exist at once: two for each process and one for each channel."""
        return 2 * self.processes + self.connections * self.channels


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise SettingsError(f"{name} is {value}; it must be from {least} to {most}")


@dataclass(frozen=True, slots=True)
class Settings:
    """One backup, ready to run. Raises SettingsError where the parts cannot work together."""

    sources: tuple[Path, ...]
    destinations: tuple[Destination, ...]
    ssh: SshSettings = field(default_factory=SshSettings)
    limits: Limits = field(default_factory=Limits)
    selection: Selection = field(default_factory=Selection)
    only: tuple[str, ...] = ()
    """Names of the entries to back up; all of them where none is named."""
    timestamp_format: str = DEFAULT_TIMESTAMP
    level: int = 1
    hash: str = "md5"
    verify: Verify = Verify.AUTO
    checksum_file: bool = True
    xattrs: bool = True
    changed: Changed = Changed.WARN
    link_unchanged: bool = False
    """Whether an entry that has not changed gets a hard link to its newest verified archive."""
    copy_unchanged: bool = False
    """Whether the server copies what an archive has in common with the newest verified one of its entry."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise SettingsError("no source was given")
        if (self.link_unchanged or self.copy_unchanged) and not self.checksum_file:
            raise SettingsError(
                "--link-unchanged and --copy-unchanged go by the checksum files beside archives; "
                "leave --no-checksum-file out"
            )
        _check_destinations(self.destinations)
        _check_range("level", self.level, 0, 9)
        if self.hash not in HASHES:
            raise SettingsError(f"{self.hash!r} is not a hash; choose {', '.join(HASHES)}")
        hashlib.new(self.hash, usedforsecurity=False)
        if self.selection.patterns:
            check_patterns(self.selection.patterns)
        _check_names(self.only)
        self.timestamp(datetime.now().astimezone())

    def timestamp(self, moment: datetime) -> str:
        """The part of the archives' names that tells when they were made."""
        text = moment.strftime(self.timestamp_format)
        if not text or "/" in text or "\0" in text or "\n" in text:
            raise SettingsError(
                f"the timestamp format {self.timestamp_format!r} gives {text!r}, which cannot be part of a file name"
            )
        return text


def _check_destinations(destinations: tuple[Destination, ...]) -> None:
    if not destinations:
        raise SettingsError("no destination was given")
    for number, destination in enumerate(destinations):
        if str(destination) in map(str, destinations[:number]):
            raise SettingsError(f"{destination} was given twice; give one of two servers another name in ~/.ssh/config")


def _check_names(only: tuple[str, ...]) -> None:
    for name in only:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise SettingsError(
                f"{name!r} is not the name of an entry; write its name in the source alone, such as etc for /etc"
            )


def check_patterns(patterns: tuple[str, ...], trouble: str = "an exclude pattern is not valid") -> None:
    """Raise SettingsError, which says `trouble`, where gitignore does not allow one of them."""
    try:
        compile_patterns(patterns)
    except ValueError as error:
        raise SettingsError(f"{trouble}: {error}") from error
