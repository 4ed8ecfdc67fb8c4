"""Where benchmarks run: a scratch directory in memory, a local sshd, and a line with a round trip if one is wanted."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.sshd import free_port, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sshd import Sshd

_OWN = ("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "BORG_BASE_DIR")


@contextlib.contextmanager
def rig(scratch: Path, *, keep: bool = False) -> Iterator[tuple[Path, Sshd]]:
    """A new directory in `scratch` and a server in it; both are gone afterwards, the directory unless `keep`.

    Temporary files, caches and settings of everything that is started lie in it too: nobody profits from an earlier
    run, nobody's own settings play a part.
    """
    base = Path(tempfile.mkdtemp(prefix="benchmark-", dir=scratch))
    before = {name: os.environ.get(name) for name in _OWN}
    try:
        for name in _OWN:
            (base / name).mkdir()
            os.environ[name] = str(base / name)
        with running_sshd(base / "server") as server:
            yield base, server
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        if keep:
            print(f"kept: {base}")
        else:
            shutil.rmtree(base)


@contextlib.contextmanager
def line(server: Sshd, round_trip: float) -> Iterator[Sshd]:
    """The server as it is seen over a line of so many milliseconds; the very server where there are none."""
    if not round_trip:
        yield server
        return
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.delay_proxy", str(port), str(server.port), str(round_trip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            if proxy.stdout is None or proxy.stdout.readline() != "ready\n":
                raise SystemExit("the proxy did not start")
            known = server.known_hosts.read_text().splitlines()[0]
            hosts = server.known_hosts.with_name(f"known_hosts-{port}")
            hosts.write_text(known.replace(f":{server.port} ", f":{port} ") + "\n")
            yield replace(server, port=port, known_hosts=hosts)
        finally:
            proxy.terminate()
