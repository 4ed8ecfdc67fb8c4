"""The rules that the settings of a restore make for whatever unpacks."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from async_backup.unpack.rules import UnpackRules

if TYPE_CHECKING:
    from async_backup.restoring.model import RestoreSettings


def rules_of(settings: RestoreSettings) -> UnpackRules:
    """Those of one restore: of each call, the names of its temporary files are its own."""
    return UnpackRules(
        os.fsencode(settings.target),
        overwrite=settings.overwrite,
        devices=settings.devices,
        same_permissions=settings.same_permissions,
        outside_links=settings.outside_links,
        numeric_owner=settings.numeric_owner,
        xattrs=settings.xattrs,
        umask=_umask(),
    )


@cache
def _umask() -> int:
    """Asked once: to ask is to change it for a moment, also for files that a thread makes meanwhile."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
