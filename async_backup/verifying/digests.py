"""The quick check: the server computes digests, and they are compared with the recorded ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.errors import NO_SERVER, BackupError
from async_backup.remote.places import path_in
from async_backup.tasks import side_by_side
from async_backup.verifying.choice import BadChecksumFile, read_record
from async_backup.verifying.model import ArchiveChecked, Findings, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.remote.base import RemoteStore
    from async_backup.verifying.choice import Item
    from async_backup.verifying.model import Progress

_WITHOUT_RECORD = "no recorded checksum; --deep checks it without, and with --repair-checksums writes one"


async def check_digests(store: RemoteStore, items: Sequence[Item], progress: Progress, *, at_once: int) -> None:
    """Verify archives whose checksum files are of the store's hash; raises Unreachable."""

    async def check(item: Item) -> None:
        progress.end(await _checked(store, item))

    await side_by_side(check, items, at_once=at_once)


async def _checked(store: RemoteStore, item: Item) -> ArchiveChecked:
    findings = Findings()
    recorded, digest, computed_by = "", "", ""
    try:
        recorded = await read_record(store, item)
        digest, computed_by = await store.digest(path_in(store, item.archive.path), item.archive.size)
    except NO_SERVER:
        raise
    except (BadChecksumFile, BackupError) as error:
        findings.note(Verdict.UNVERIFIED, str(error))
    else:
        if digest != recorded:
            findings.note(Verdict.DAMAGED, "what lies on the server is not what the checksum file records")
    return ArchiveChecked(
        item.archive.path,
        item.archive.size,
        findings.verdict,
        tuple(findings.kept),
        algorithm=item.algorithm,
        recorded=recorded,
        digest=digest,
        computed_by=computed_by,
    )


def without_record(item: Item) -> ArchiveChecked:
    """What to say of an archive without a checksum file."""
    findings = Findings()
    findings.note(Verdict.UNVERIFIED if item.is_ours else Verdict.PASSED_OVER, _WITHOUT_RECORD)
    return ArchiveChecked(item.archive.path, item.archive.size, findings.verdict, tuple(findings.kept))
