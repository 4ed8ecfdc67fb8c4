"""How names, sizes and rates are written; nothing from a file system reaches a terminal raw."""

from __future__ import annotations

import os
import re
import sys
import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
"""Unicode categories that can steer a terminal, hide text or turn its direction round."""

_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|([\\ntr]))")
_SHORT_ESCAPES = {b"\\": b"\\", b"n": b"\n", b"t": b"\t", b"r": b"\r"}

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def shown(text: str | bytes | os.PathLike[str]) -> str:
    """The text with everything but visible characters written as an escape, backslashes doubled where any is."""
    decoded = os.fsdecode(text)
    if decoded.isascii() and decoded.isprintable():
        return decoded
    return "".join(_shown_character(character) for character in decoded)


def _shown_character(character: str) -> str:
    if character == "\\":
        return r"\\"
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode gives it
        return f"\\x{code - 0xDC00:02x}"
    if 0x80 <= code <= 0xFF and unicodedata.category(character) in _UNSAFE:
        return f"\\u{code:04x}"  # what is \\x is a byte
    if character != " " and unicodedata.category(character) in _UNSAFE:
        return character.encode("unicode_escape", "backslashreplace").decode("ascii")
    return character


def unescaped(name: bytes) -> bytes:
    """A name that was typed as `shown` shows it; as it is where it is not what `shown` would have written."""
    meant = _ESCAPE.sub(_character_meant, name)
    return meant if os.fsencode(shown(meant)) == name else name


def _character_meant(escape: re.Match[bytes]) -> bytes:
    if escape[1]:
        return bytes([int(escape[1], 16)])
    if code := escape[2] or escape[3]:
        return chr(min(int(code, 16), sys.maxunicode)).encode("utf-8", "surrogatepass")
    return _SHORT_ESCAPES[escape[4]]


def one_line(error: BaseException) -> str:
    """An error's text, safe to print, with its notes."""
    return "; ".join(shown(text) for text in (str(error), *getattr(error, "__notes__", ())))


def size(count: float) -> str:
    """`1.5 GiB`."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 12 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 entry`, `2 entries`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
