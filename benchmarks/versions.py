"""What the programs and libraries that took part report about themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from tests.sshd import find_sshd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.peers import Peer

LIBRARIES = ("async-backup", "asyncssh", "cryptography", "isal", "zlib-ng")
NOT_ASKED = {"bash", "md5sum", "scp", "ssh"}
_VERSION = re.compile(r"\d+(?:\.\d+)+\w*")


def versions(peers: Iterable[Peer] = ()) -> dict[str, str]:
    """Of this program with its libraries, of the server, and of what the peers run."""
    programs = {program for peer in peers for program in peer.needs if "/" not in program} - NOT_ASKED
    found = {name: _library(name) for name in LIBRARIES}
    found |= {"Python": sys.version.split()[0], "OpenSSH": _version([str(find_sshd()), "-V"])}
    if any("paramiko" in peer.description for peer in peers):
        found["paramiko"] = _library("paramiko")
    return found | {name: _version([name, _question(name)]) for name in sorted(programs)}


def _question(program: str) -> str:
    return "version" if program in {"restic", "rclone"} else "--version"


def _version(command: list[str]) -> str:
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    text = answer.stdout + answer.stderr
    found = re.search(r"OpenSSH_(\S+?)[,\s]", text) or _VERSION.search(text)
    return (found[1] if found and found.re is not _VERSION else found[0]) if found else "?"


def _library(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
