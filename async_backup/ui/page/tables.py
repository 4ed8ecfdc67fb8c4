"""Tables that say what their rows and columns are, and scroll where the page is narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from async_backup.ui.page.html import element

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from async_backup.ui.page.html import Html


class Column(NamedTuple):
    """A heading, and the class of style of its cells."""

    title: str
    kind: str = ""


def number(title: str) -> Column:
    return Column(title, "number")


def name(title: str) -> Column:
    return Column(title, "name")


def table(label: str, columns: Sequence[Column], rows: Iterable[Sequence[str | bytes]]) -> Html:
    """The first cell of a row is what the row is about."""
    head = element("tr", *(element("th", column.title, scope="col", **_class(column)) for column in columns))
    body = [_row(columns, row) for row in rows]
    content = element("table", element("thead", head), element("tbody", *body))
    return element("div", content, class_="scroll", role="region", aria_label=label, tabindex="0")


def _row(columns: Sequence[Column], row: Sequence[str | bytes]) -> Html:
    first = element("th", row[0], scope="row", **_class(columns[0]))
    rest = (element("td", cell, **_class(column)) for column, cell in zip(columns[1:], row[1:], strict=True))
    return element("tr", first, *rest)


def pairs(rows: Iterable[tuple[str, str | bytes]]) -> Html:
    """A table of names and values, without headings."""
    body = (element("tr", element("th", key, scope="row"), element("td", value)) for key, value in rows)
    return element("table", element("tbody", *body), class_="settings")


def _class(column: Column) -> dict[str, str]:
    return {"class_": column.kind} if column.kind else {}
