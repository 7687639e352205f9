"""Any text in, a text that moves no cursor and sets no title out."""

import re

_VISIBLE = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) != "\n"}
_VISIBLE |= {code: f"<{code:02X}>" for code in range(0x80, 0xA0)}
_VISIBLE |= {code: f"<{code:04X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_VISIBLE |= {ord("\t"): "    ", ord("\r"): "", 0x7F: "\u2421", 0x2028: "\n", 0x2029: "\n", 0xFEFF: ""}
_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """Makes control characters visible: ESC becomes ␛, C1 and the marks that turn the direction their code.

    Newlines stay; tabs become spaces, carriage returns go. What is left has no effect on a terminal but to be seen.
    """
    return _SURROGATE.sub("\ufffd", text.translate(_VISIBLE))


def one_line(text: str) -> str:
    """The same with all white space as single spaces, for where a line is a reply."""
    return " ".join(printable(text).split())
