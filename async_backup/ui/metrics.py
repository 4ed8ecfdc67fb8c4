"""Metrics of a run for the textfile collector of Prometheus' node_exporter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from async_backup.errors import SettingsError
from async_backup.text import shown
from async_backup.ui.earlier_successes import earlier_successes
from async_backup.ui.gauges import gauges
from async_backup.ui.run_file import RunFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from async_backup.events import Event
    from async_backup.ui.gauges import Gauge


class Metrics(RunFile):
    """A listener that writes a file of gauges at the end of the run; times of earlier successes in it are kept.

    `path` has to end in .prom, or node_exporter would not read it, and belongs to one profile. Raises SettingsError
    for a path that cannot be written, and where prometheus_client is not installed.
    """

    noun = "metrics file"

    def __init__(
        self,
        path: Path,
        profile: str = "",
        *,
        warn: Callable[[str], None],
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if path.suffix != ".prom":
            raise SettingsError(
                f"the metrics file {str(path)!r} does not end in .prom: node_exporter would not read it"
            )
        self._exposition = _load_exposition()
        super().__init__(path, warn=warn, clock=clock)
        self._profile = shown(profile)
        self._now = now

    def collect(self, event: Event) -> None:
        """Nothing: the record tells all that is counted."""

    def content(self) -> bytes:
        earlier = earlier_successes(self._path, self._profile)
        return self._exposition(gauges(self._record, self._profile, self._now(), earlier))


def _load_exposition() -> Callable[[Sequence[Gauge]], bytes]:
    try:
        from async_backup.ui.exposition import exposition  # noqa: PLC0415 - prometheus_client is an extra
    except ImportError as error:
        raise SettingsError(
            f"--metrics needs prometheus_client ({error}); install it: pip install 'async-backup[metrics]'"
        ) from error
    return exposition
