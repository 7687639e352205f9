"""iMessage chats as text files of imessage-exporter (1.x to 3.x, `-f txt`), one file a chat.

A message has a line with date and time, a line with the sender ("Me" is the exporting person), and its text. A reply in
a thread appears twice: indented below the message that it answers, and in the order of time. The indented copy is
skipped.
"""

import re
from collections.abc import Iterable, Iterator

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_fields import UNKNOWN, parse_form, read_name, refuse_time
from convmodel.data.chat_format import ChatFormat
from convmodel.data.chat_lines import read_lines
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Problem

_TIME = r"[A-Z][a-z]{2} +\d{1,2}, +\d{4} +\d{1,2}:\d\d:\d\d [AP]M"
_BEGIN = re.compile(rf"(?P<time>{_TIME})(?: \(Read by .*\))?(?P<remark> .*)?")
_REPLY = re.compile(rf" +{_TIME}(?: \(Read by .*\))?")
_EDIT = re.compile(rf"(?:{_TIME} |Edited .{{1,60}} later: )(.*)", re.DOTALL)

_TAPBACKS = ("Tapbacks:", "Reactions:")
_ATTACHMENT = re.compile(
    r"(?:~?/|attachments/|\.\./|[A-Z]:\\).*[/\\][^/\\]+\.\w{1,12}|Attachment missing!|Attachment does not exist!"
)
_NOTE = re.compile(
    r"This message responded to an earlier message\.|This message was deleted from the conversation!"
    r"|Sent with (?:Confetti|Echo|Fireworks|Balloons|Heart|Lasers|Shooting Start?|Sparkles|Spotlight|Slam|Loud|Gentle"
    r"|Invisible Ink)"
)
_REMARK = re.compile(
    r".{1,100} (?:deleted a message\.|unsent (?:a message|this message part)\b.*)|SharePlay Message\nEnded"
    r"|[A-Z][\w .&]{1,40} (?:message:\n|transaction: ).*|Unable to format app message: .*"
    r"|Handwritten messages are not yet supported!|Photo album: .*",
    re.DOTALL,
)
_LINK = re.compile(r"https?://\S+")


def score(head: Head) -> Certainty:
    """Return SURE if the first line is a date and time in the form of imessage-exporter, and NONE otherwise."""
    return Certainty.SURE if _BEGIN.fullmatch(head.lines[0]) else Certainty.NONE


def read_messages(file: DataFile) -> Iterator[ChatMessage | Problem]:
    """Yield the messages of one file."""

    def begin(number: int, text: str, last: str) -> ChatMessage | None:
        match = _BEGIN.fullmatch(text) if not last.strip() else None
        if match is None:
            return None
        message = ChatMessage(number, file.name, _parse(match["time"]), "", "")
        return message._replace(kind="system") if match["remark"] else message

    return read_lines(file, begin, _finish)


def _parse(text: str) -> float | None:
    time = parse_form(text, "%b %d, %Y %I:%M:%S %p")
    return refuse_time(text) if time is None else time


def _finish(message: ChatMessage) -> ChatMessage:
    """Return a complete message, with the sender and the text parsed from its lines."""
    if message.kind == "system":
        return message
    _, *lines = message.text.split("\n")
    sender = read_name(lines[0]) if lines else ""
    text = "\n".join(_edited(list(_own_lines(lines[1:])))).strip()
    first = text.partition("\n")[0].strip()
    if _LINK.fullmatch(first):
        text = first  # below it are the title and the summary of the page
    message = message._replace(sender=sender or UNKNOWN, text=text)
    if _REMARK.fullmatch(text):
        return message._replace(kind="system")
    return message if text else message._replace(kind="media")


def _own_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a message's text, without reactions (tapbacks), attachments, notes and indented replies."""
    in_tapbacks = False
    for line in lines:
        if _REPLY.fullmatch(line):
            return
        in_tapbacks = line in _TAPBACKS or (in_tapbacks and bool(line.strip()))
        if not in_tapbacks and not _NOTE.fullmatch(line) and not _ATTACHMENT.fullmatch(line):
            yield line.removeprefix("Transcription: ")


def _edited(lines: list[str]) -> list[str]:
    """Return the lines of the last version of an edited text."""
    edits = [position for position, line in enumerate(lines) if _EDIT.fullmatch(line)]
    if not edits:
        return lines
    match = _EDIT.fullmatch(lines[edits[-1]])
    return [match[1] if match else "", *lines[edits[-1] + 1 :]]


IMESSAGE = ChatFormat("imessage", "iMessage chat", score, read_messages)
