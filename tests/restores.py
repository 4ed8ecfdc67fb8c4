"""Restores for tests: from a store in memory, unpacked in this process, into a real directory."""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from mmap import mmap
from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint

from async_backup import unpack_process
from async_backup.config import Destination, Limits
from async_backup.events import ignore
from async_backup.remote.memory import MemoryStore
from async_backup.restoring.model import RestoreSettings
from async_backup.restoring.restore import Restore
from async_backup.slots import Slots
from async_backup.unpackers import Unpackers
from tests.archives import make_archive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from async_backup.remote.base import RemoteStore
    from async_backup.restoring.model import RestoreEvent, RestoreListener, RestoreReport
    from async_backup.unpack.rules import UnpackRules

NAME = b"entry-2026-11-20T120000.tar.gz"
HERE = Destination("nowhere", b"/backups")
LIMITS = Limits(processes=1, connections=1, channels=1)


class InProcessUnpackers(Unpackers):
    """Unpackers without processes, with as few slots as there can be; they suspend where real ones do."""

    def __init__(self, slots: Slots, rules: UnpackRules | None) -> None:
        self.slots = slots
        self.state = unpack_process.State(mmap(slots.descriptor, 0), slots.size, rules)

    async def _call(self, job: Callable[[], Any], again: Callable[[], Any] | None = None) -> Any:
        await checkpoint()
        unpack_process.current.set(self.state)
        return job()


@asynccontextmanager
async def in_this_process(
    processes: int, channels: int, longest: int, rules: UnpackRules | None
) -> AsyncIterator[Unpackers]:
    slots = Slots(processes + channels, max(longest, 1), are_filled_here=True)
    unpackers = InProcessUnpackers(slots, rules)
    try:
        yield unpackers
        assert len(slots._free) == slots.count
    finally:
        unpackers.state.close()
        slots.close()


@dataclass
class Restored:
    """A report, and all events on the way to it."""

    report: RestoreReport
    events: list[RestoreEvent] = field(default_factory=list)

    @property
    def told(self) -> set[tuple[bytes, str]]:
        """The paths that needed a word, with the kind of it."""
        return {(issue.path, issue.kind.value) for issue in self.report.issues}


async def restore_from(
    store: RemoteStore,
    target: Path,
    *paths: bytes,
    archive: bytes = NAME,
    listener: RestoreListener = ignore,
    **options: Any,
) -> Restored:
    """Restore an archive of the store, or some paths of it, into `target`."""
    events: list[RestoreEvent] = []
    settings = RestoreSettings(HERE, archive, target, paths, limits=LIMITS, **options)

    def listen(event: RestoreEvent) -> None:
        events.append(event)
        listener(event)

    restore = Restore(settings, listen, in_this_process, here=in_this_process)
    await restore.run(store)
    return Restored(restore.report(1.0), events)


def store_of(content: bytes, name: bytes = NAME) -> MemoryStore:
    """A store that holds one archive."""
    store = MemoryStore()
    store.put(b"%b/%b" % (store.directory, name), content)
    return store


def archive_of(source: Path, **options: Any) -> bytes:
    """The archive of the directory `source`, as a run makes it, in segments of 64 KiB."""
    target = source.parent / f"{source.name}.tar.gz"
    make_archive(source.parent, os.fsencode(source.name), target, **options)
    content = target.read_bytes()
    target.unlink()
    return content


def tar_gz(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], **options: Any) -> bytes:
    """An archive that somebody else made, of whatever members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", **options) as tar:
        for member in members:
            info, data = member if isinstance(member, tuple) else (member, b"")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, link, mode
    member.uid, member.gid = os.geteuid(), os.getegid()
    return member


def tree(root: Path) -> dict[str, bytes | str]:
    """What is below a directory: the content of files, the target of links after an arrow, `/` for directories."""
    found: dict[str, bytes | str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = "/" if path.is_dir() else path.read_bytes()
    return found
