"""Texts of the bot's own messages, and splitting of long texts into messages."""

import regex

LIMIT = 4096
"""Maximum length of a message in UTF-16 code units. Source: https://core.telegram.org/bots/api#sendmessage"""

_ENDS = (r"\n\s*\n", r"\n", r"[.!?…。！？]['\"”’)\]]*(?=\s)|[。！？]", r"\s")
"""Patterns after whose matches a text may be split, best first: end of a paragraph, line, sentence, or word."""

HELLO = """\
Hello! Write to me, and a model replies. It is not a person: do not rely on what it says.
/help lists what else I can do; /forget deletes everything that was said here."""

HINTS = """\
Several messages that arrive while I write are answered together. In a group I answer messages that mention me or \
reply to me, and commands with my name after them. //text sends /text."""

UNREADABLE = "I can read text only."

LONGER = "This takes longer than usual. Your message is kept, and will be answered."

STOPPED = "Stopped. /retry makes a reply."

EMPTY = "The model's reply is empty. /retry makes another reply."

FAILED = "Something went wrong, and there is no reply. /retry asks for one again."

NOT_DONE = "Something went wrong; try again later."

UNSHOWN = "Telegram does not accept the model's reply. /retry makes another reply."

NOTHING_TO_REPLY_TO = "There is nothing to reply to; say something first."

NOTHING_TO_UNDO = "There is nothing to take back."

CHANGED_ELSEWHERE = "The conversation was changed elsewhere at that moment; nothing was taken back."

GONE = "The conversation is no longer on the server; the next message begins a new one."

FORGOTTEN = "Everything that was said here is deleted, on the server too, and so are persona and options."


def clean(text: str) -> str:
    """Replace lone surrogates by U+FFFD and remove NUL characters, which a message cannot contain."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def split(text: str, *, limit: int = LIMIT) -> list[str]:
    """Split a text into non-empty messages; return an empty list for a blank text.

    Only white space at the beginning and end of a message is lost; Telegram would also remove it. Grapheme clusters are
    not split, unless a single cluster exceeds the limit.

    Args:
        limit: maximum length of a message in UTF-16 code units, at least 2.
    """
    text = clean(text).strip()
    parts = []
    while text:
        end = _split_point(text, limit)
        parts.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return parts


def _split_point(text: str, limit: int) -> int:
    """Return the number of characters of the first message of a text."""
    max_end = _fitting(text, limit)
    if max_end == len(text):
        return max_end
    window = text[: max_end + 1]
    boundaries = {match.end() for match in regex.finditer(r"\X", window) if match.end() <= max_end}
    for pattern in _ENDS:
        # A boundary before half of the limit would make a short message; a weaker boundary after it is better.
        ends = [match.end() for match in regex.finditer(pattern, window) if match.end() >= max_end // 2]
        if candidates := boundaries.intersection(ends):
            return int(max(candidates))
    return max(boundaries, default=max_end)


def _fitting(text: str, limit: int) -> int:
    """Return the number of leading characters that have at most `limit` UTF-16 code units together."""
    room = limit
    for position, character in enumerate(text):
        room -= 2 if character > "\uffff" else 1
        if room < 0:
            return position
    return len(text)
