"""Real servers that are not OpenSSH, on free loopback ports, with keys and settings of their own.

ProFTPD's mod_sftp, as storage boxes run it: no command and no shell, but digests by a request of SFTP. And
`rclone serve sftp`: no shell, but `md5sum` as a command by itself.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.processes import adopting, kill_tree
from tests.sshd import HOST, START_SECONDS, Sshd, free_port, greets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PROFTPD = """
LoadModule mod_sftp.c
ServerName test
ServerType standalone
DefaultAddress {host}
SocketBindTight on
UseIPv6 off
Port {port}
User {user}
Group {group}
RootLogin on
DefaultRoot {base}
AuthUserFile {base}/passwd
AuthOrder mod_auth_file.c
RequireValidShell off
WtmpLog off
DelayEngine off
UseReverseDNS off
MaxInstances 60
PidFile {base}/pid
ScoreboardFile {base}/scoreboard
SystemLog {base}/log
SFTPEngine on
SFTPLog {base}/sftp.log
SFTPHostKey {base}/host_key
SFTPAuthMethods publickey
SFTPAuthorizedUserKeys file:{base}/authorized_keys
{options}
"""


def need(program: str, package: str) -> str:
    """Where a program is; without it the test is skipped, or fails where everything has to be there."""
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is None and os.environ.get("CI"):
        pytest.fail(f"no {program} on this machine: the package {package} is missing")
    if found is None:
        pytest.skip(f"no {program} on this machine")
    return found


@contextmanager
def running_proftpd(base: Path, *, options: Sequence[str] = ()) -> Iterator[Sshd]:
    """ProFTPD; what clients call `/` is `base`, and they log in as the user whose tests these are."""
    program = need("proftpd", "proftpd-mod-crypto")
    keys, account = _keys(base, "ecdsa", "-m", "PEM"), pwd.getpwuid(os.geteuid())
    exported = subprocess.run(["ssh-keygen", "-e", "-f", keys.with_suffix(".pub")], check=True, capture_output=True)
    (base / "authorized_keys").write_bytes(exported.stdout)
    (base / "passwd").write_text(f"backup:*:{account.pw_uid}:{account.pw_gid}::{base}:/bin/false\n")
    (base / "passwd").chmod(0o600)
    port = free_port()
    group = subprocess.run(["id", "-gn"], check=True, capture_output=True, text=True).stdout.strip()
    settings = {"host": HOST, "port": port, "user": account.pw_name, "group": group, "base": base}
    (base / "proftpd.conf").write_text(PROFTPD.format(**settings, options="\n".join(options)))
    with _running([program, "--nodaemon", "-c", str(base / "proftpd.conf")], base, port, user="backup") as server:
        yield server


@contextmanager
def running_rclone(base: Path, *options: str) -> Iterator[Sshd]:
    """`rclone serve sftp` with those options; what clients call `/` is `base`/root."""
    program = need("rclone", "rclone")
    keys, port = _keys(base, "ed25519"), free_port()
    (base / "root").mkdir()
    served = ["serve", "sftp", str(base / "root"), "--addr", f"{HOST}:{port}", "--key", str(base / "host_key")]
    own = ["--authorized-keys", str(keys.with_suffix(".pub")), "--config", str(base / "rclone.conf")]
    with _running(
        [program, *served, *own, "--cache-dir", str(base / "cache"), *options], base, port, user="backup"
    ) as server:
        yield server


def _keys(base: Path, kind: str, *more: str) -> Path:
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", kind, *more, "-N", "", "-f", str(base / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return base / "user_key"


@contextmanager
def _running(command: list[str], base: Path, port: int, *, user: str) -> Iterator[Sshd]:
    log = base / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(adopting(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait_for(port, process, log)
        known_hosts = base / "known_hosts"
        known_hosts.write_text(f"[{HOST}]:{port} {(base / 'host_key.pub').read_text()}")
        keys = {"key": base / "user_key", "host_key": base / "host_key", "known_hosts": known_hosts}
        yield Sshd(port=port, user=user, **keys, directory=base, pid=process.pid, log=log)
    finally:
        kill_tree(process.pid)
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if greets(port):
            return
        time.sleep(0.02)
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
