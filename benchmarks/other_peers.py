"""The competitors that make no tar archives: programs with a repository of their own, and plain copies."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers import Peer

if TYPE_CHECKING:
    from tests.sshd import Sshd

COPIES = Path(__file__).with_name("copies.sh")
PASSWORD = "benchmark"


def ssh_options(server: Sshd) -> list[str]:
    """Of ssh and scp, but for the port, which each calls by another letter."""
    options = [f"UserKnownHostsFile={server.known_hosts}", "IdentitiesOnly=yes", "BatchMode=yes", "Compression=no"]
    return ["-F", "none", "-i", str(server.key), *(word for option in options for word in ("-o", option))]


def restic() -> Peer:
    return Peer(
        "restic",
        "restic backup over sftp, into a repository just made",
        lambda source, server, directory: _restic(server, directory, "backup", str(source)),
        needs=("restic", "ssh"),
        suffix="",
        check=(),
        prepare=lambda _, server, directory: _restic(server, directory, "init"),
    )


def _restic(server: Sshd, directory: Path, *words: str) -> list[str]:
    ssh = ["ssh", *ssh_options(server), "-p", str(server.port), f"{server.user}@{server.host}", "-s", "sftp"]
    repository = f"sftp:{server.user}@{server.host}:{directory}/repository"
    tunnel = f"sftp.command={shlex.join(ssh)}"
    return ["env", f"RESTIC_PASSWORD={PASSWORD}", "restic", "-q", "-r", repository, "-o", tunnel, *words]


def borg() -> Peer:
    return Peer(
        "borg",
        "borg create over ssh, lz4, not encrypted, into a repository just made; borg runs on the server too",
        lambda source, server, directory: _borg(server, "create", f"{_borg_place(server, directory)}::a", str(source)),
        needs=("borg", "ssh"),
        suffix="",
        check=(),
        prepare=lambda _, server, directory: _borg(server, "init", "-e", "none", _borg_place(server, directory)),
        tolerated=(0, 1),
    )


def _borg(server: Sshd, *words: str) -> list[str]:
    answers = ["BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK=yes"]
    return ["env", f"BORG_RSH={shlex.join(['ssh', *ssh_options(server)])}", *answers, "borg", *words]


def _borg_place(server: Sshd, directory: Path) -> str:
    return f"ssh://{server.user}@{server.host}:{server.port}{directory}/repository"


def scp() -> Peer:
    return Peer(
        "scp",
        "scp -c aes128-gcm@openssh.com, two at a time, and the server's md5sum of each",
        _scp_command,
        needs=("bash", "scp", "ssh", "md5sum"),
        suffix="",
        check=(),
    )


def _scp_command(source: Path, server: Sshd, directory: Path) -> list[str]:
    login = [f"{server.user}@{server.host}", str(server.port), str(directory)]
    return ["bash", str(COPIES), str(source), *login, *ssh_options(server)]


def rclone() -> Peer:
    return Peer(
        "rclone",
        "rclone copy over sftp, four at a time, compared by MD5",
        _rclone_command,
        needs=("rclone", "md5sum"),
        suffix="",
        check=(),
    )


def _rclone_command(source: Path, server: Sshd, directory: Path) -> list[str]:
    access = {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "key-file": server.key,
        "known-hosts-file": server.known_hosts,
        "md5sum-command": "md5sum",
    }
    options = [word for name, value in access.items() for word in (f"--sftp-{name}", str(value))]
    return ["rclone", "--config", "", "copy", str(source), f":sftp:{directory}", *options]
