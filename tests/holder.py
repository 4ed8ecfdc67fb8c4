"""A program that holds a lock until its standard input ends: `python -m tests.holder DIRECTORY NAME WAIT MODE`.

It prints a line of JSON for all that it is told, and for what becomes of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
from anyio import to_thread

from async_backup.archive.selection import Selection
from async_backup.errors import Locked
from async_backup.locking import held
from async_backup.worker_process import PackingRules
from async_backup.workers import open_workers


def say(kind: str, text: object = "") -> None:
    sys.stdout.write(json.dumps([kind, text]) + "\n")
    sys.stdout.flush()


async def hold(directory: Path, name: str, wait: float, mode: str) -> None:
    try:
        async with held(directory, [name], what="nightly to nas:/b", wait=wait, tell=lambda text: say("told", text)):
            await MODES[mode]()
    except Locked as error:
        say("locked", str(error))


async def until_told_to_end() -> None:
    say("held")
    await to_thread.run_sync(sys.stdin.read)


async def with_a_hook() -> None:
    """As a hook that goes on after its run, and inherits whatever is not closed on exec."""
    say("child", start_a_hook())
    await until_told_to_end()


def start_a_hook() -> int:
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(["sleep", "1000"], close_fds=False, stdin=nowhere, stdout=nowhere).pid


async def with_packing_processes() -> None:
    rules = PackingRules(1 << 20, 1, Selection(), "md5")
    async with open_workers(1, 2, rules) as workers:
        await workers.start()
        await until_told_to_end()


MODES = {"plain": until_told_to_end, "hook": with_a_hook, "workers": with_packing_processes}

if __name__ == "__main__":
    anyio.run(hold, Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4])
