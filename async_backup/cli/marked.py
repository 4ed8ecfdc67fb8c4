"""Documents of which a part is written by this program, between two markers."""

from __future__ import annotations


def with_part(document: str, begin: str, end: str, part: str, *, what: str) -> str:
    """The document with what is between the two markers replaced.

    Raises ValueError, which calls them the markers of `what`, where they are not in it.
    """
    before, found_begin, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the markers of the {what} are not in the document")
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"
