"""WhatsApp's text export, of Android (`01/05/2024, 10:00 - Ida: Hello`) and iOS (`[01.05.24, 10:00:00] Ida: Hello`).

Dates and times have the form of the country for which the phone is set. Whether the day, the month or the year comes
first is decided for the whole file; see `find_order`.
"""

import re
from collections.abc import Iterator

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_dates import find_order
from convmodel.data.chat_format import ChatFormat
from convmodel.data.chat_lines import read_lines
from convmodel.data.chat_remarks import classify
from convmodel.data.chat_stamps import parse_stamp
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Problem, shorten
from convmodel.data.people import is_same_person, strip_marks

_SENDER = re.compile(r"[~\s]*(?P<sender>[^:\n]{1,100}):(?: (?P<text>.*)|)", re.DOTALL)
_OTHER = re.compile(r"<[^<>:]+> |\*\*\* ")
"""The form in which other programs continue a line after the date."""

_QUOTES = ('""', "“”", "„“", "«»", "「」", "»«")


def score(head: Head) -> Certainty:
    """Return SURE if the first line begins with a date and time, LIKELY if only half of the lines do, NONE otherwise.

    For a file that ends in .md the result is not more than LIKELY: other programs, but not WhatsApp, write such files.
    """
    first = parse_stamp(head.lines[0])
    if first is not None and _OTHER.match(first[1]):
        return Certainty.NONE
    if first is None:  # possibly a part of a longer chat
        stamped = sum(parse_stamp(line) is not None for line in head.lines)
        return Certainty.LIKELY if 2 * stamped >= max(len(head.lines), 4) else Certainty.NONE
    return Certainty.LIKELY if head.file.suffix == ".md" else Certainty.SURE


def read_messages(file: DataFile) -> Iterator[ChatMessage | Problem]:
    """Yield the messages of an export. Lines without a date belong to the message before them."""
    stamps = filter(None, (parse_stamp(line.text) for line in file.lines()))
    order, is_guessed = find_order(stamp for stamp, _ in stamps)
    if is_guessed:
        file.notes.add(f"dates taken to begin with the {order}")

    def begin(number: int, text: str, last: str) -> ChatMessage | None:
        parsed = parse_stamp(text)
        if parsed is None:
            return None
        stamp, rest = parsed
        try:
            message = ChatMessage(number, file.name, stamp.time(order), "", rest)
        except ValueError as error:
            fault = f"{shorten(stamp.text)!r} is no valid date ({error})"
            raise ValueError(f"{fault}; correct it, or remove the message") from None
        if stamp.is_short_thai(order):
            file.notes.add("years of two digits taken for Thai ones")
        return _split_sender(message, file.options.me)

    return read_lines(file, begin, _classify)


def _split_sender(message: ChatMessage, me: str | None) -> ChatMessage:
    """Return a message with the sender separated from its text.

    A notice of WhatsApp itself ("Ida left") has no sender, although it may contain a colon.
    """
    match = _SENDER.match(message.text)
    colons = (me or "").count(":")
    if match is not None and colons:
        parts = message.text.split(":")
        name = strip_marks(":".join(parts[: colons + 1]))
        if is_same_person(name, me):
            return message._replace(sender=name, text=":".join(parts[colons + 1 :]).removeprefix(" "))
    sender = strip_marks(match["sender"]).lstrip("~ \u202f") if match else ""
    if match is None or not sender or _is_sentence(sender):
        return message._replace(kind="system")
    return message._replace(sender=sender, text=match["text"] or "")


def _is_sentence(sender: str) -> bool:
    """Return whether the text before a colon belongs to a notice of WhatsApp, and is not the name of a sender.

    The text belongs to a notice if it has an unclosed quotation mark, or is long and contains the end of a sentence.
    """
    is_open = any(sender.count(pair[0]) != sender.count(pair[1]) for pair in _QUOTES if pair[0] != pair[1])
    is_open = is_open or sender.count("‘") > sender.count("’")  # "’" is also an apostrophe
    return is_open or sender.count('"') % 2 == 1 or (len(sender.split()) > 6 and ". " in sender)


def _classify(message: ChatMessage) -> ChatMessage:
    """Return a complete message with its kind, and without WhatsApp's placeholders for media; see `classify`."""
    if message.kind == "system":
        return message
    text, kind = classify(message.text)
    return message._replace(text=text, kind=kind)


WHATSAPP = ChatFormat("whatsapp", "WhatsApp chat", score, read_messages)
