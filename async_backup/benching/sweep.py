"""Trying flags: one after another, each with the best of those before it.

The full product of five lists would take hours; a sum of their lengths fits into a minute, and what it misses are
pairs of flags that help only together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from async_backup.benching.results import WholeJob, job_rate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backup.benching.model import Grid
    from async_backup.benching.results import NotMeasured
    from async_backup.config import Limits

WORTH_IT = 1.05
"""How much faster a value has to be to be taken instead: less is noise."""


async def sweep(base: Limits, grid: Grid, run: Callable[[Limits], Awaitable[WholeJob | NotMeasured]]) -> None:
    """Run with `base`, then with each value of each flag in turn; the best value of a flag stays for the next one."""
    best = await run(base)
    limits = base
    for name, values in grid.dimensions():
        own = getattr(limits, name)
        for value in dict.fromkeys(values):
            if value == own:
                continue
            job = await run(replace(limits, **{name: value}))
            if isinstance(job, WholeJob) and (not isinstance(best, WholeJob) or is_better(job, best)):
                best = job
        limits = best.limits if isinstance(best, WholeJob) else limits


def is_better(job: WholeJob, other: WholeJob) -> bool:
    return job_rate(job) > job_rate(other) * WORTH_IT
