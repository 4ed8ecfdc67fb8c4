"""Markup in which no text can be anything but text: whatever is not Html already is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from async_backup.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable


class Html(str):
    """Markup that stands in a page as it is. An f-string of it is text again."""

    __slots__ = ()


def element(name: str, /, *content: str | bytes, **attributes: str) -> Html:
    """`<name>` around its content: Html as it is, text and file names by their visible characters alone.

    An attribute `class_` becomes `class`, and other underscores become hyphens.
    """
    return Html(f"{empty_element(name, **attributes)}{joined(content)}</{name}>")


def empty_element(name: str, /, **attributes: str) -> Html:
    """`<name>` that has no content and no end."""
    written = "".join(f' {_attribute(key)}="{escape(shown(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{written}>")


def joined(content: Iterable[str | bytes]) -> Html:
    """Html and texts one behind the other."""
    return Html("".join(part if isinstance(part, Html) else escape(shown(part)) for part in content))


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
