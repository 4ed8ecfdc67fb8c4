"""The competitors: how each is started, what it leaves behind, and how one asks for its version."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from tests.sshd import find_sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.sshd import Sshd

OURS = "async-backup"
PIPELINE = Path(__file__).with_name("pipeline.sh")
LIBRARIES = ("async-backup", "asyncssh", "cryptography", "anyio", "isal", "zlib-ng", "paramiko")


@dataclass(frozen=True)
class Peer:
    """One way to back up a tree; `command(source, server, directory)` is what gets timed."""

    name: str
    description: str
    command: Callable[[Path, Sshd, Path], list[str]]
    needs: tuple[str, ...] = ()
    suffix: str = ".tar.gz"
    check: tuple[str, ...] = ("gzip", "-t")
    slow: bool = False
    tolerated: tuple[int, ...] = (0,)

    def missing(self) -> list[str]:
        return [program for program in self.needs if shutil.which(program) is None]


def ours() -> Peer:
    """This program, with all its defaults; status 3 says that some of the source could not be read as it was."""
    return Peer(OURS, "this program, all defaults", _ours_command, needs=(_ours_program(),), tolerated=(0, 3))


def _ours_program() -> str:
    return str(Path(sys.executable).with_name(OURS))


def _ours_command(source: Path, server: Sshd, directory: Path) -> list[str]:
    access = ["--key", str(server.key), "--known-hosts", str(server.known_hosts)]
    return [_ours_program(), "run", str(source), "--to", server.destination(directory), *access, "-q"]


def pipeline(*compressor: str, suffix: str = ".tar.gz", slow: bool = False, shared: bool = False) -> Peer:
    """`tar | compressor | ssh`, two entries at a time, compared by MD5; `shared`: all over one connection."""
    program = compressor[0]

    def command(source: Path, server: Sshd, directory: Path) -> list[str]:
        login = [f"{server.user}@{server.host}", str(server.port), str(directory)]
        access = [str(server.key), str(server.known_hosts)]
        start = ["env", "SHARED=yes", "bash"] if shared else ["bash"]
        return [*start, str(PIPELINE), str(source), *login, *access, suffix, *compressor]

    return Peer(
        f"{program}-shared" if shared else program,
        f"tar | {' '.join(compressor)} | ssh, two at a time{', over one connection' if shared else ''}",
        command,
        needs=("bash", "tar", "ssh", "md5sum", program),
        suffix=suffix,
        check=("zstd", "-tq") if program == "zstd" else ("gzip", "-t"),
        slow=slow,
    )


def _script_command(source: Path, server: Sshd, directory: Path) -> list[str]:
    access = [str(server.key), str(server.known_hosts)]
    return [sys.executable, "-m", "benchmarks.plain_script", str(source), server.destination(directory), *access]


PEERS = {
    peer.name: peer
    for peer in (
        pipeline("igzip", "-1"),
        pipeline("igzip", "-1", shared=True),
        pipeline("zstd", "-1", suffix=".tar.zst"),
        pipeline("zstd", "-1", suffix=".tar.zst", shared=True),
        pipeline("pigz", "-1"),
        pipeline("gzip", "-6", slow=True),
        Peer("script", "tarfile, paramiko put, md5sum, one after another", _script_command, slow=True),
    )
}


def versions(names: Sequence[str]) -> dict[str, str]:
    """What the named peers and everything they have in common report about themselves."""
    tools = {name.removesuffix("-shared") for name in names if name in PEERS and PEERS[name].needs}
    programs = {name: [name, "--version"] for name in sorted(tools)}
    commands = {"tar": ["tar", "--version"], "md5sum": ["md5sum", "--version"], "ssh": ["ssh", "-V"], **programs}
    found = {name: _first_line(command) for name, command in commands.items()}
    found["sshd"] = _first_line([str(find_sshd()), "-V"])
    found["python"] = sys.version.split()[0]
    return found | {name: _library(name) for name in LIBRARIES}


def _first_line(command: Sequence[str]) -> str:
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = (answer.stdout or answer.stderr).split("\n")
    return next((line.strip() for line in lines if "OpenSSH" in line), lines[0].strip())


def _library(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
