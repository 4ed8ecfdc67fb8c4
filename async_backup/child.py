"""What every process of ours has in common: descriptors that reach it, and an end when its parent ends."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from multiprocessing.reduction import DupFd
from typing import Any

from async_backup.heap import keep_freed_memory


class SharedDescriptor:
    """A file descriptor of the parent that reaches a process while that is being started."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[object, tuple[object]]:
        return _received, (DupFd(self.descriptor),)


def _received(duplicate: Any) -> SharedDescriptor:
    return SharedDescriptor(duplicate.detach())


def settle_in(lifeline: SharedDescriptor, scratch: str) -> None:
    """Make this process a child of ours: `lifeline` is the reading end of a pipe.

    The process ends at once when something comes out of the pipe, or when nobody holds its other end any more; then
    the parent has died, and its directory `scratch` is removed in its place.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    threading.Thread(target=_end_with, args=(lifeline.descriptor, scratch), daemon=True).start()


def _end_with(lifeline: int, scratch: str) -> None:
    """End when the parent says so or is dead; in that case nobody else removes multiprocessing's directory."""
    if not os.read(lifeline, 1):
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def is_ready() -> bool:
    """Answer, to show that the process has started."""
    return True
