"""Split texts into messages within Telegram's length limit."""

import regex

LIMIT = 4096
"""Maximum length of a message in UTF-16 code units. Source: https://core.telegram.org/bots/api#sendmessage"""

_ENDS = (r"\n\s*\n", r"\n", r"[.!?…。！？]['\"”’)\]]*(?=\s)|[。！？]", r"\s")
"""Patterns after which to split, best first: paragraph, line, sentence, word."""


def units(text: str) -> int:
    """Return the length of a text in UTF-16 code units."""
    return len(text) + sum(character > "\uffff" for character in text)


def clean(text: str) -> str:
    """Remove lone surrogates and NUL, which no message can contain."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def split(text: str, *, limit: int = LIMIT) -> list[str]:
    """Split a text into messages.

    Only white space at the ends of messages is lost, where Telegram would remove it too. Grapheme clusters are not
    split, unless one alone exceeds the limit.

    Args:
        text: text of any length.
        limit: maximum length of a message in UTF-16 code units, at least 2.

    Returns:
        Non-empty texts; an empty list for a blank text.
    """
    text = clean(text).strip()
    parts = []
    while text:
        end = _split_point(text, limit)
        parts.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return parts


def _split_point(text: str, limit: int) -> int:
    """Return the length of the first message in characters."""
    max_end = _fitting(text, limit)
    if max_end == len(text):
        return max_end
    window = text[: max_end + 1]
    boundaries = {match.end() for match in regex.finditer(r"\X", window) if match.end() <= max_end}
    for pattern in _ENDS:
        # A message below half the limit looks torn; then a weaker boundary further on is better.
        ends = [match.end() for match in regex.finditer(pattern, window) if match.end() >= max_end // 2]
        if candidates := boundaries.intersection(ends):
            return int(max(candidates))
    return max(boundaries, default=max_end)


def _fitting(text: str, limit: int) -> int:
    """Return the number of leading characters that fit into the limit."""
    room = limit
    for position, character in enumerate(text):
        room -= 2 if character > "\uffff" else 1
        if room < 0:
            return position
    return len(text)
