"""A page of HTML about a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from async_backup.events import AttemptFailed, EntrySkipped, LeftoverRemoved, SegmentPacked, SegmentSent
from async_backup.ui.page.about import settings, versions
from async_backup.ui.page.chart import chart
from async_backup.ui.page.entries import all_entries, destinations, skipped, tops
from async_backup.ui.page.facts import Facts
from async_backup.ui.page.html import Html, element, empty_element, joined
from async_backup.ui.page.overview import overview, title
from async_backup.ui.page.style import POLICY, STYLE
from async_backup.ui.page.trouble import trouble
from async_backup.ui.run_file import RunFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_backup.events import Event


class PageWriter(RunFile):
    """A listener that writes one self-contained page about the run at its end.

    `settings` is the dataclass whose fields the page lists; secrets do not belong there. Raises SettingsError for a
    path that cannot be written.
    """

    noun = "report"

    def __init__(
        self,
        path: Path,
        settings: object = None,
        profile: str = "",
        *,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(path, warn=warn, clock=clock)
        self._facts = Facts(self._record, profile, settings)

    def collect(self, event: Event) -> None:
        facts = self._facts
        match event:
            case SegmentPacked(raw=raw):
                facts.rates.add_read(self._record.elapsed, raw)
            case SegmentSent(size=size):
                facts.rates.add_sent(self._record.elapsed, size)
            case EntrySkipped(path, reason):
                facts.skipped.add((path, reason))
            case AttemptFailed():
                facts.retried.add(event)
            case LeftoverRemoved(path):
                facts.removed.add(path)
            case _:
                pass

    def content(self) -> bytes:
        return page(self._facts).encode()


def page(facts: Facts) -> Html:
    """The whole document."""
    head = element(
        "head",
        empty_element("meta", charset="utf-8"),
        empty_element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        empty_element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        empty_element("meta", name="color-scheme", content="light dark"),
        empty_element("meta", name="referrer", content="no-referrer"),
        element("title", title(facts)),
        element("style", Html(STYLE)),
    )
    main = element(
        "main",
        overview(facts),
        trouble(facts),
        destinations(facts),
        _rates(facts),
        tops(facts),
        all_entries(facts),
        skipped(facts),
        settings(facts),
        versions(),
    )
    return joined([Html("<!doctype html>\n"), element("html", head, element("body", main), lang="en"), Html("\n")])


def _rates(facts: Facts) -> Html:
    rates = facts.rates.until(facts.record.elapsed)
    if not rates:
        return joined([])
    return element("section", element("h2", "Rates"), element("figure", chart(rates)))
