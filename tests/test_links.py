"""What later names of a file refer to: never to a name that was not remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.archive import links as links_module
from async_backup.archive.links import Links

if TYPE_CHECKING:
    import pytest


def test_later_names_refer_to_the_first() -> None:
    links = Links()
    assert links.first_path((1, 2)) is None
    assert links.remember((1, 2), b"first", 3)
    assert [links.first_path((1, 2)), links.first_path((1, 2))] == [b"first", b"first"]


def test_an_inode_is_forgotten_after_its_last_name() -> None:
    links = Links()
    links.remember((1, 2), b"first", 2)
    links.first_path((1, 2))
    assert links.first_path((1, 2)) is None


def test_beyond_the_limit_a_file_leads_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "LINK_LIMIT", 1)
    links = Links()
    assert links.remember((1, 1), b"first", 2)
    assert not links.remember((1, 2), b"second", 2)
    assert links.first_path((1, 2)) is None
