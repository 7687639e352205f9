"""Replacement of control characters, so that no text can control the terminal."""

import re

_VISIBLE = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) != "\n"}
_VISIBLE |= {code: f"<{code:02X}>" for code in range(0x80, 0xA0)}
_VISIBLE |= {code: f"<{code:04X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_VISIBLE |= {ord("\t"): "    ", ord("\r"): "", 0x7F: "\u2421", 0x2028: "\n", 0x2029: "\n", 0xFEFF: ""}
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_printable(text: str) -> str:
    """Replace control characters by visible ones: ESC by ␛, C1 controls and bidirectional marks by their code.

    Newlines stay, tabs become spaces, carriage returns are removed.
    """
    return _SURROGATE.sub("\ufffd", text.translate(_VISIBLE))


def to_one_line(text: str) -> str:
    """Return a printable text with every run of white space replaced by one space."""
    return " ".join(to_printable(text).split())
