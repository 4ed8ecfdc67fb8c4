"""What the parts and the sweep have in common: something to back up, and the settings of such a backup."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from async_backup.benching.budget import in_thread
from async_backup.benching.model import SampleReady
from async_backup.benching.samples import fitting_size, make_sample
from async_backup.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_backup.benching.model import BenchEvent, BenchSettings
    from async_backup.benching.site import Site
    from async_backup.config import Limits


async def make_ready(
    settings: BenchSettings, scratch: Path, size: float, seconds: float, tell: Callable[[BenchEvent], None]
) -> Path:
    """The source of the user, or a sample of about `size` bytes, made in that time; raises NoSpace."""
    if settings.source is not None:
        tell(SampleReady(os.fsencode(settings.source), is_generated=False))
        return settings.source
    root = scratch / settings.sample
    made = await in_thread(partial(make_sample, root, settings.sample, fitting_size(size, 1.0)), seconds)
    tell(SampleReady(os.fsencode(root), is_generated=True, entries=made.entries, files=made.files, size=made.size))
    return root


def backup_settings(
    settings: BenchSettings, source: Path, site: Site, name: bytes, limits: Limits | None = None
) -> Settings:
    """A backup of the source into the directory `name` of our own on the server."""
    return Settings(
        sources=(source,),
        destinations=(replace(settings.destination, directory=site.place(name)),),
        ssh=settings.ssh,
        limits=limits or settings.limits,
        level=settings.level,
        hash=settings.hash,
        verify=settings.verify,
    )
