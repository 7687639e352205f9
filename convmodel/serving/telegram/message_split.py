"""A text of any length in, messages that Telegram takes out."""

import regex

LIMIT = 4096
"""UTF-16 code units of a message. Source: https://core.telegram.org/bots/api#sendmessage; its lengths are in these."""

_ENDS = (r"\n\s*\n", r"\n", r"[.!?…。！？]['\"”’)\]]*(?=\s)|[。！？]", r"\s")
"""After which a text is divided, the best first: a paragraph, a line, a sentence, a word."""


def units(text: str) -> int:
    """The UTF-16 code units of a text."""
    return len(text) + sum(character > "\uffff" for character in text)


def clean(text: str) -> str:
    """A text without what no message can hold: halves of surrogate pairs, and NUL."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def split(text: str, *, limit: int = LIMIT) -> list[str]:
    """Divides a text into messages.

    Nothing but white space is lost, and that only at the ends of messages, where Telegram cuts it off itself. What a
    reader sees as one character stays whole, unless it alone is longer than the limit.

    Args:
        limit: UTF-16 code units of each, at least 2.

    Returns:
        Texts that are not empty; none for a text of white space.
    """
    text, parts = clean(text).strip(), []
    while text:
        end = _end(text, limit)
        parts.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return parts


def _end(text: str, limit: int) -> int:
    """Where the first message ends."""
    most = _fitting(text, limit)
    if most == len(text):
        return most
    window = text[: most + 1]
    whole = {found.end() for found in regex.finditer(r"\X", window) if found.end() <= most}
    for pattern in _ENDS:
        # A first message of less than half the limit would look torn; a lesser end that lies further on is taken.
        ends = [found.end() for found in regex.finditer(pattern, window) if found.end() >= most // 2]
        if good := whole.intersection(ends):
            return max(good)
    return max(whole, default=most)


def _fitting(text: str, limit: int) -> int:
    """How many characters fit."""
    room = limit
    for place, character in enumerate(text):
        room -= 2 if character > "\uffff" else 1
        if room < 0:
            return place
    return len(text)
