"""Slots: a fixed amount of shared memory that carries packed segments between processes and the event loop."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from mmap import PROT_READ, PROT_WRITE, mmap

from anyio import Semaphore

from async_backup.errors import NoSpace

_HEADER_ROOM = 256 << 10
"""Bytes of a slot beyond the segment and its growth: headers with long paths, and gzip's own."""


class Slot:
    """A piece of shared memory that holds one packed segment, lent until `release`."""

    def __init__(self, slots: Slots, index: int, view: memoryview) -> None:
        self._slots = slots
        self.index = index
        self._view = view

    def data(self, length: int) -> memoryview:
        """The first `length` bytes, valid until the release; to be written only where slots are filled here."""
        return self._view[:length]

    def release(self) -> None:
        self._slots.give_back(self)

    def let_go(self) -> None:
        """Hold the memory no longer, unless somebody still looks at it."""
        with suppress(BufferError):
            self._view.release()


class Slots:
    """A fixed number of slots: the bound on memory for packed data, and the back-pressure on packing."""

    def __init__(self, count: int, size: int, *, are_filled_here: bool = False) -> None:
        self.descriptor = _reserve(count * size)
        protection = PROT_READ | PROT_WRITE if are_filled_here else PROT_READ
        self._share_out(count, size, memoryview(mmap(self.descriptor, count * size, prot=protection)))

    def _share_out(self, count: int, size: int, view: memoryview) -> None:
        self.size = size
        self.count = count
        self._free = [Slot(self, i, view[i * size : (i + 1) * size]) for i in range(count)]
        self._available = Semaphore(count, fast_acquire=True)

    async def acquire(self) -> Slot:
        """Wait for a free slot."""
        await self._available.acquire()
        return self._free.pop()

    def give_back(self, slot: Slot) -> None:
        self._free.append(slot)
        self._available.release()

    def close(self) -> None:
        self._let_go()
        os.close(self.descriptor)

    def _let_go(self) -> None:
        """A slot and its slots hold each other, but not the memory for longer than it is used."""
        for slot in self._free:
            slot.let_go()


class OwnSlots(Slots):
    """Slots in this process's own memory, which no other process sees."""

    def __init__(self, count: int, size: int) -> None:
        self.memory = bytearray(count * size)
        self._share_out(count, size, memoryview(self.memory))

    def close(self) -> None:
        self._let_go()


def slot_size(segment_size: int) -> int:
    """Bytes of a slot for segments of that size: room for growth of files, headers and data that does not shrink."""
    size = segment_size + segment_size // 4 + segment_size // 256 + _HEADER_ROOM
    return -(-size // 4096) * 4096


def _reserve(size: int) -> int:
    """A nameless file of `size` bytes whose space is really there: writing past a full tmpfs kills a process."""
    problems = []
    for directory in ("/dev/shm", tempfile.gettempdir()):
        try:
            with tempfile.TemporaryFile(dir=directory) as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(bytes(size))
                    file.flush()
                return os.dup(file.fileno())
        except OSError as error:
            problems.append(f"{directory}: {error.strerror}")
    raise NoSpace(
        f"no room for {size >> 20} MiB of segments on their way ({', '.join(problems)}); "
        "free some, set TMPDIR, or lower --segment-size, --connections or --processes"
    )
