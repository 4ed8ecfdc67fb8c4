"""The maps of sparse files in tar: where the data that the payload holds belongs. Four spellings, all GNU tar's."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.pax import to_decimal
from async_backup.archive.tar_block import SIZE_LIMIT, bounded, to_number, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

EXTENTS_LIMIT = 1 << 20

Extents = tuple[tuple[int, int], ...]
Pairs = list[tuple[int, int]]

_PAIR = 24
_IN_HEADER, _HEADER_PAIRS = 386, 4
_HEADER_CONTINUES = 482
_REAL_SIZE = slice(483, 495)
_EXTENSION_PAIRS = 21
_EXTENSION_CONTINUES = 504
_LINE_LIMIT = 20


class Place(NamedTuple):
    """How many pairs a block of the old format holds, from which byte, and where it says that another follows."""

    start: int
    pairs: int
    continues: int


_HEADER = Place(_IN_HEADER, _HEADER_PAIRS, _HEADER_CONTINUES)
_EXTENSION = Place(0, _EXTENSION_PAIRS, _EXTENSION_CONTINUES)


def checked(pairs: Iterable[tuple[int, int]], real_size: int, payload: int) -> Extents:
    """The pairs that have a length. Raises ValueError where they are not ascending, or not what the sizes say."""
    end = total = 0
    found = []
    for offset, length in pairs:
        if offset < end or offset + length > real_size:
            raise ValueError(f"the sparse map has data of {length} bytes at {offset} of a file of {real_size} bytes")
        end = offset + length
        total += length
        if length:
            found.append((offset, length))
    if total != payload:
        raise ValueError(f"the sparse map counts {total} bytes of data, the header {payload}")
    return tuple(found)


def old_gnu(block: bytes, read_block: Callable[[], bytes]) -> tuple[Pairs, int]:
    """The pairs in a header of type `S` and in the blocks that extend it, and the file's size. Raises ValueError."""
    real_size = bounded(to_number(block[_REAL_SIZE]), SIZE_LIMIT)
    pairs: Pairs = []
    place = _HEADER
    while True:
        pairs += _old_pairs(block, place)
        _limit(len(pairs))
        if not block[place.continues]:
            return pairs, real_size
        block, place = read_block(), _EXTENSION


def _old_pairs(block: bytes, place: Place) -> Iterator[tuple[int, int]]:
    for at in range(place.start, place.start + place.pairs * _PAIR, _PAIR):
        offset, length = block[at : at + 12], block[at + 12 : at + 24]
        if not length[0]:
            return
        yield bounded(to_number(offset), SIZE_LIMIT), bounded(to_number(length), SIZE_LIMIT)


def from_text(text: bytes) -> Pairs:
    """The pairs of GNU.sparse 0.1: numbers with commas between them. Raises ValueError."""
    _limit(text.count(b",") // 2)
    numbers = [to_decimal(number) for number in text.split(b",")] if text else []
    if len(numbers) % 2:
        raise ValueError("the sparse map has an offset without a length")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def from_payload(read_block: Callable[[], bytes]) -> Pairs:
    """The pairs of GNU.sparse 1.0: a line for their count and two for each, in whole blocks. Raises ValueError."""
    numbers = _lines(read_block)
    count = next(numbers)
    _limit(count)
    wanted = islice(numbers, 2 * count)
    return list(zip(wanted, wanted, strict=True))


def _lines(read_block: Callable[[], bytes]) -> Iterator[int]:
    rest = b""
    while True:
        *lines, rest = (rest + read_block()).split(b"\n")
        yield from map(to_decimal, lines)
        if len(to_text(rest)) > _LINE_LIMIT:
            raise ValueError("the sparse map is not one of decimal lines")


def _limit(extents: int) -> None:
    if extents > EXTENTS_LIMIT:
        raise ValueError(f"the sparse map has more than {EXTENTS_LIMIT} extents")
