"""The plain script that this project replaces: pack, upload, compare the MD5, one entry after another.

usage: python -m benchmarks.plain_script SOURCE sftp://USER@HOST:PORT/DIRECTORY KEY KNOWN_HOSTS
"""

from __future__ import annotations

import hashlib
import shlex
import sys
import tarfile
import tempfile
import time
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import paramiko  # type: ignore[import-untyped, unused-ignore]  # typed only where types-paramiko is installed


def main(source: str, destination: str, key: str, known_hosts: str) -> int:
    url = urlsplit(destination)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    with paramiko.SSHClient() as client:
        client.load_host_keys(known_hosts)
        client.connect(
            str(url.hostname), url.port or 22, url.username, key_filename=key, allow_agent=False, look_for_keys=False
        )
        sftp = client.open_sftp()
        good = [
            _backed_up(entry, PurePosixPath(url.path) / f"{entry.name}-{stamp}.tar.gz", client, sftp)
            for entry in sorted(Path(source).iterdir())
        ]
    return 0 if all(good) else 1


def _backed_up(entry: Path, target: PurePosixPath, client: paramiko.SSHClient, sftp: paramiko.SFTPClient) -> bool:
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as archive:
        with tarfile.open(archive.name, "w:gz") as tar:
            tar.add(entry, arcname=entry.name)
        sftp.put(archive.name, str(target))
        with Path(archive.name).open("rb") as packed:
            sent = hashlib.file_digest(packed, "md5").hexdigest()
    _, stdout, _ = client.exec_command(f"md5sum < {shlex.quote(str(target))}")
    stored = stdout.read().decode().split()[:1]
    if stored == [sent]:
        return True
    sftp.remove(str(target))
    sys.stderr.write(f"{entry}: the server has {stored}, sent was {sent}\n")
    return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
