"""What runs in a process of a test, in place of the real thing: it ends that process."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from async_backup import unpack_process, worker_process

if TYPE_CHECKING:
    from async_backup.unpack.segment import Unpacked, Wanted
    from async_backup.unpack_process import Stored


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


def kill_once_restoring(flag: str, stored: Stored, wanted: Wanted | None, *, is_again: bool = False) -> Unpacked:
    """Restore a segment, and die of it unless the file `flag` is there already, which is made."""
    unpacked = unpack_process.restore_members(stored, wanted, is_again=is_again)
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return unpacked
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("this process was killed")
