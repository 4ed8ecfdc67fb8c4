"""The competitors that make archives: how each is started, and what it leaves behind."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sshd import Sshd

OURS = "async-backup"
PIPELINE = Path(__file__).with_name("pipeline.sh")


@dataclass(frozen=True)
class Peer:
    """One way to back up a tree; `command(source, server, directory)` is what gets timed, after `prepare`.

    `check` reads what was stored, archive by archive, where there are archives.
    """

    name: str
    description: str
    command: Callable[[Path, Sshd, Path], list[str]]
    needs: tuple[str, ...] = ()
    suffix: str = ".tar.gz"
    check: tuple[str, ...] = ("gzip", "-t")
    slow: bool = False
    tolerated: tuple[int, ...] = (0,)
    prepare: Callable[[Path, Sshd, Path], list[str]] | None = None

    def missing(self) -> list[str]:
        return [program for program in self.needs if shutil.which(program) is None]


def ours() -> Peer:
    """This program, with all its defaults; status 3 says that some of the source could not be read as it was."""
    return Peer(OURS, "this program, all defaults", ours_command, needs=(_ours_program(),), tolerated=(0, 3))


def _ours_program() -> str:
    return str(Path(sys.executable).with_name(OURS))


def ours_command(source: Path, server: Sshd, directory: Path) -> list[str]:
    access = ["--key", str(server.key), "--known-hosts", str(server.known_hosts)]
    return [_ours_program(), "run", str(source), "--to", server.destination(directory), *access, "-q"]


def pipeline(
    *compressor: str, suffix: str = ".tar.gz", slow: bool = False, shared: bool = False, at_once: int = 2
) -> Peer:
    """`tar | compressor | ssh`, entries compared by MD5, `at_once` at a time; `shared`: all over one connection."""
    program = compressor[0]

    def command(source: Path, server: Sshd, directory: Path) -> list[str]:
        login = [f"{server.user}@{server.host}", str(server.port), str(directory)]
        access = [str(server.key), str(server.known_hosts)]
        settings = [f"AT_ONCE={at_once}", *(["SHARED=yes"] if shared else [])]
        return ["env", *settings, "bash", str(PIPELINE), str(source), *login, *access, suffix, *compressor]

    name = program + ("-shared" if shared else "") + ("-1x" if at_once == 1 else "")
    times = {1: "one", 2: "two"}.get(at_once, str(at_once))
    return Peer(
        name,
        f"tar | {' '.join(compressor)} | ssh, {times} at a time{', over one connection' if shared else ''}",
        command,
        needs=("bash", "tar", "ssh", "md5sum", program),
        suffix=suffix,
        check=("zstd", "-tq") if program == "zstd" else ("gzip", "-t"),
        slow=slow,
    )


def script() -> Peer:
    return Peer("script", "plain script: tarfile, paramiko put, md5sum, one after another", _script_command, slow=True)


def _script_command(source: Path, server: Sshd, directory: Path) -> list[str]:
    access = [str(server.key), str(server.known_hosts)]
    return [sys.executable, "-m", "benchmarks.plain_script", str(source), server.destination(directory), *access]


def igzip() -> Peer:
    return pipeline("igzip", "-1")


def igzip_shared() -> Peer:
    return pipeline("igzip", "-1", shared=True)


def pipelines() -> list[Peer]:
    """Two at a time, over one connection, and one at a time; gzip, as most would write it, is slow."""
    return [
        igzip(),
        igzip_shared(),
        pipeline("igzip", "-1", at_once=1),
        pipeline("zstd", "-1", suffix=".tar.zst"),
        pipeline("zstd", "-1", suffix=".tar.zst", at_once=1),
        pipeline("pigz", "-1"),
        pipeline("pigz", "-1", at_once=1),
        pipeline("gzip", "-6", slow=True),
        pipeline("gzip", "-6", slow=True, at_once=1),
    ]
