"""A real OpenSSH server on a free loopback port, with its own keys and configuration."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.processes import adopting, kill_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOST = "127.0.0.1"
START_ATTEMPTS = 5
START_SECONDS = 10.0
PRIVILEGE_SEPARATION = Path("/run/sshd")


class SshdError(Exception):
    """The server did not start; the message holds the end of its log."""


@dataclass(frozen=True)
class Sshd:
    """A running server: everything a client needs to log in to it as the current user."""

    port: int
    user: str
    key: Path
    known_hosts: Path
    host_key: Path
    directory: Path
    pid: int
    log: Path

    @property
    def host(self) -> str:
        return HOST

    def destination(self, path: Path | None = None) -> str:
        """The `sftp://` address of `path`, which is absolute, or of the directory for backups."""
        return f"sftp://{self.user}@{self.host}:{self.port}{path or self.directory}"


def find_sshd() -> Path | None:
    """The absolute path of the server (it insists on being started by that), or None where there is none."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which("sshd", path=places)
    return Path(found).absolute() if found else None


@contextlib.contextmanager
def running_sshd(base: Path, *, options: Sequence[str] = (), authorized_options: str = "") -> Iterator[Sshd]:
    """Run a server whose files all lie in `base`; afterwards it and every process it started are gone.

    `options` are lines of sshd_config which win over ours; they may not open a Match block.
    `authorized_options` stand before the key in authorized_keys, as in `command="false"`.
    Raises SshdError if the server does not start, FileNotFoundError if there is none.
    """
    program = find_sshd()
    if program is None:
        raise FileNotFoundError("no sshd on this machine")
    _prepare(base, authorized_options=authorized_options)
    port, process = _start(program, base, options)
    try:
        yield _described(base, port=port, pid=process.pid)
    finally:
        kill_tree(process.pid)
        process.wait()


def _prepare(base: Path, *, authorized_options: str) -> None:
    (base / "backups").mkdir(parents=True)
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(base / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    public = (base / "user_key.pub").read_text()
    (base / "authorized_keys").write_text(f"{authorized_options} {public}".lstrip())
    if os.geteuid() == 0:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)


def _start(program: Path, base: Path, options: Sequence[str]) -> tuple[int, subprocess.Popen[bytes]]:
    """Start on a free port, and on another one if somebody takes that before the server does."""
    for _ in range(START_ATTEMPTS):
        port = free_port()
        process = _launch(program, base, port=port, options=options)
        try:
            if _comes_up(process, base / "sshd.pid", port=port):
                return port, process
        except BaseException:
            kill_tree(process.pid)
            process.wait()
            raise
        if "Address already in use" not in _log(base):
            break
    raise SshdError(f"sshd ended with status {process.returncode}:\n{_log(base)}")


def _launch(program: Path, base: Path, *, port: int, options: Sequence[str]) -> subprocess.Popen[bytes]:
    config = base / "sshd_config"
    config.write_text("\n".join([*options, *_settings(base, port=port, options=options)]) + "\n")
    command = [str(program), "-D", "-e", "-f", str(config), *_tolerance(program, config)]
    with (base / "sshd.log").open("wb") as log:
        return subprocess.Popen(adopting(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _settings(base: Path, *, port: int, options: Sequence[str]) -> list[str]:
    settings = [
        f"Port {port}",
        f"ListenAddress {HOST}",
        f'HostKey "{base / "host_key"}"',
        f'AuthorizedKeysFile "{base / "authorized_keys"}"',
        f'PidFile "{base / "sshd.pid"}"',
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "UseDNS no",
        "StrictModes no",
        "PermitUserRC no",
        "LogLevel VERBOSE",
        f'SetEnv HOME="{base}"',  # start-up files of this account may be slow, or leave locks when they are killed
    ]
    # Before OpenSSH 9.6 a second definition of a subsystem is an error, not ignored.
    if not any(option.lower().startswith("subsystem") for option in options):
        settings.append("Subsystem sftp internal-sftp")
    return settings


def _tolerance(program: Path, config: Path) -> list[str]:
    """From OpenSSH 9.8 on, a few connections broken on purpose would shut this client out for a while."""
    tolerant = ["-o", "PerSourcePenalties no"]
    check = subprocess.run([program, "-t", "-f", config, *tolerant], check=False, capture_output=True)
    return tolerant if check.returncode == 0 else []


def _comes_up(process: subprocess.Popen[bytes], pid_file: Path, *, port: int) -> bool:
    """Wait for the banner; False if the server ended. Its PID file shows that the port is really its own."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if pid_file.exists() and greets(port):
            return True
        time.sleep(0.01)
    raise SshdError(f"no banner on port {port} in {START_SECONDS:g} s:\n{_log(pid_file.parent)}")


def greets(port: int) -> bool:
    """Whether an SSH server answers there."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def free_port() -> int:
    """A port of the loopback that nobody uses at the moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def _log(base: Path) -> str:
    return (base / "sshd.log").read_text(errors="replace")[-2000:]


def _described(base: Path, *, port: int, pid: int) -> Sshd:
    public = (base / "host_key.pub").read_text()
    known_hosts = base / "known_hosts"
    known_hosts.write_text(f"[{HOST}]:{port} {public}")
    return Sshd(
        port=port,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        key=base / "user_key",
        known_hosts=known_hosts,
        host_key=base / "host_key",
        directory=base / "backups",
        pid=pid,
        log=base / "sshd.log",
    )
