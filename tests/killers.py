"""What runs in a packing process of a test, in place of the real thing: it ends that process."""

from __future__ import annotations

import os
import signal

from async_backup import worker_process


def kill_once(flag: str, source: bytes, job: bytes, slot: int) -> worker_process.PackedSlot:
    """Kill the process unless the file `flag` is there already, which is made; otherwise pack."""
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return worker_process.pack_job(source, job, slot)
    return kill_always(source, job, slot)


def kill_always(source: bytes, job: bytes, slot: int) -> worker_process.PackedSlot:
    """Kill the process, as the kernel does when memory is short."""
    del source, job, slot
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("this process was killed")


def hang(source: bytes, job: bytes, slot: int) -> worker_process.PackedSlot:
    """Work for ever."""
    del source, job, slot
    while True:
        signal.pause()
