"""What later names of a file refer to: never to a name that was not remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.archive import links as links_module
from async_backup.archive.links import Links
from async_backup.archive.member import Meta

if TYPE_CHECKING:
    import pytest

FILE = Meta(b"0", 0o644, 0, 0, 10, 5, 6, 1, 2, 0)


def test_later_names_refer_to_the_first() -> None:
    links = Links()
    assert links.first_path(FILE) is None
    assert links.remember(FILE, b"first", 3)
    assert [links.first_path(FILE), links.first_path(FILE)] == [b"first", b"first"]


def test_an_inode_is_forgotten_after_its_last_name() -> None:
    links = Links()
    links.remember(FILE, b"first", 2)
    links.first_path(FILE)
    assert links.first_path(FILE) is None


def test_an_inode_that_became_another_file_is_a_first_one_again() -> None:
    links, later = Links(), FILE._replace(ctime_ns=FILE.ctime_ns + 1)
    links.remember(FILE, b"removed", 2)
    assert links.first_path(later) is None
    assert links.remember(later, b"new", 2)
    assert links.first_path(FILE) is None
    assert links.first_path(later) == b"new"


def test_beyond_the_limit_a_file_leads_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "LINK_LIMIT", 1)
    links = Links()
    second = FILE._replace(inode=FILE.inode + 1)
    assert links.remember(FILE, b"first", 2)
    assert not links.remember(second, b"second", 2)
    assert links.first_path(second) is None
    assert links.remember(FILE._replace(ctime_ns=0), b"the same", 2)
