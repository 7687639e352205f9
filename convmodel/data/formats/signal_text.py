"""Signal chats as text, in the forms of signal-export (`chat.md`), signalbackup-tools (`--exporttxt`) and sigtop.

In most forms, each message begins with date, time and name, and its text may have several lines. In sigtop's long form
(`-f text`), a message has fields (`From`, `Type`, `Sent`), an empty line, and the text. There, quoted lines begin with
`>`, and the lines of the versions of an edited message, of which the last one is written first, begin with `|`.
"""

import re
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_fields import UNKNOWN, parse_form, read_name, read_time, refuse_time
from convmodel.data.chat_format import ChatFormat
from convmodel.data.chat_lines import read_lines
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, Problem, TextLine

_MARKDOWN = re.compile(r"\[(\d{4}-\d\d-\d\d,? \d\d:\d\d(?::\d\d)?)\] ([^:\n]{1,100}):(?: (.*))?", re.DOTALL)
_SHORT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d) ([^:\n]{1,100}):(?: (.*))?", re.DOTALL)
_BACKUP = re.compile(
    r"\[([A-Z][a-z]{2} \d\d, \d{4} \d\d:\d\d:\d\d)\] (?:\*\*\* (?P<remark>.*)|<(?P<name>[^<>\n]{1,100})> (?P<text>.*))",
    re.DOTALL,
)
_FIELD = re.compile(r"(From|Type|Sent|Received|Attachment|Reaction|Edited): ?(.*)")
_NUMBER = re.compile(r" \([^()]*\)$")

_REACTIONS = re.compile(r"\n\(- .* -\)")
_BACKUP_REACTIONS = re.compile(r" \((?:[^();:\n]{1,60}: [^\x00-\x7f]{1,12}(?:; (?!\))|(?=\))))+\)\Z")
_BACKUP_POLL = re.compile(r"Poll: [^\n]*(?:\n +\[\d+\] [^\n]*)+")
_BACKUP_FILE = re.compile(r"<[^<>\n]{1,100}> sent file\b.*")
_STICKER = re.compile(r"\(\( (.*?) \)\)|\[([^\]\n]*)\]\(\.\./exported_stickers/[^)\n]*\)")
_ATTACHMENT = re.compile(r"!?\[[^\]\n]*\]\(\./[^)\n]*\)\s*")
_QUOTE = re.compile(r"\s*(?:>[^\n]*(?:\n|$))+\n")
_DETAILS = re.compile(
    r"\[(?:(?:reply to [^\n]{1,100} on \d{4}-\d\d-\d\d \d\d:\d\d|edited|\d+ attachments?)(?:, )?)+\] ?"
)
_SHORT_REMARK = re.compile(r"\[[\w-]+ message\]")

_REMARK = "(This message was deleted)"
_SAID = ("incoming", "outgoing")


def score(head: Head) -> Certainty:
    """Return SURE if the first lines are messages or fields of one of the forms, and NONE otherwise."""
    first = head.lines[0]
    if first.startswith("Conversation: ") and any(line.startswith("Type: ") for line in head.lines):
        return Certainty.SURE
    if _SHORT.match(first) or _BACKUP.match(first):
        return Certainty.SURE
    is_own = head.file.suffix == ".md" or any("] Me:" in line for line in head.lines)
    return Certainty.SURE if _MARKDOWN.match(first) and is_own else Certainty.NONE


def read_messages(file: DataFile) -> Iterator[ChatMessage | Problem]:
    """Yield the messages of one file."""
    first = file.head.lines[0] if file.head.lines else ""
    if first.startswith("Conversation: "):
        return _read_fields(file)
    if _BACKUP.match(first):
        return read_lines(file, lambda number, text, last: _begin_backup(number, text, file.name), _classify_backup)
    is_short = _SHORT.match(first) is not None

    def begin(number: int, text: str, last: str) -> ChatMessage | None:
        match = (_SHORT if is_short else _MARKDOWN).match(text)
        if match is None:
            return None
        time = read_time(match[1].replace(",", ""))
        return ChatMessage(number, file.name, time, read_name(match[2]), match[3] or "")

    return read_lines(file, begin, _classify_short if is_short else _classify_markdown)


def _begin_backup(number: int, text: str, chat: str) -> ChatMessage | None:
    match = _BACKUP.match(text)
    if match is None:
        return None
    time = parse_form(match[1], "%b %d, %Y %H:%M:%S")
    if time is None:
        refuse_time(match[1])
    message = ChatMessage(number, chat, time, "", match["remark"] or "", "system")
    if match["name"] is not None:
        return message._replace(sender=read_name(match["name"]), text=match["text"], kind="text")
    return message._replace(kind="media") if _BACKUP_FILE.match(message.text) else message


def _classify_backup(message: ChatMessage) -> ChatMessage:
    """Return a message of signalbackup-tools without its reactions."""
    if message.kind != "text":
        return message
    if _BACKUP_POLL.fullmatch(message.text):
        return message._replace(kind="media")
    return _with_text(message, _BACKUP_REACTIONS.sub("", message.text))


def _classify_markdown(message: ChatMessage) -> ChatMessage:
    """Return a message of signal-export without its quote, reactions and attachments."""
    if message.text.strip() == _REMARK:
        return message._replace(kind="system")
    text = _ATTACHMENT.sub("", _REACTIONS.sub("", _QUOTE.sub("", message.text, count=1)))
    return _with_text(message, _STICKER.sub(lambda match: match[1] or match[2] or "", text))


def _classify_short(message: ChatMessage) -> ChatMessage:
    """Return a message of sigtop's short form without its details."""
    if _SHORT_REMARK.fullmatch(message.text.strip()):
        return message._replace(kind="system")
    details = _DETAILS.match(message.text)
    return _with_text(message, message.text[details.end() :] if details else message.text)


def _with_text(message: ChatMessage, text: str) -> ChatMessage:
    return message._replace(text=text.strip(), kind="text" if text.strip() else "media")


def _read_fields(file: DataFile) -> Iterator[ChatMessage | Problem]:
    """Yield the messages of sigtop's long form."""
    entry: _Entry | None = None
    last = ""
    for line, following in _with_next(file.lines()):
        if line.problem is not None:
            yield Problem(line.number, line.problem)
            continue
        if _begins(line.text, following, last):
            if entry is not None:
                yield _finish(entry, file.name)
            entry = _Entry(line.number, file.options.line_limit)
        if entry is not None:
            entry.add(line.text)
        last = line.text
    if entry is not None:
        yield _finish(entry, file.name)


def _finish(entry: "_Entry", chat: str) -> ChatMessage | Problem:
    try:
        return entry.finish(chat)
    except ValueError as error:
        return Problem(entry.number, str(error))


def _with_next(lines: Iterable[TextLine]) -> Iterator[tuple[TextLine, str]]:
    """Yield each line with the text of the next one."""
    held: TextLine | None = None
    for line in lines:
        if held is not None:
            yield held, line.text
        held = line
    if held is not None:
        yield held, ""


def _begins(line: str, following: str, last: str) -> bool:
    """Return whether a line is the first one of a message. Notices of Signal itself have no `From`.

    Args:
        line: the line.
        following: the next line.
        last: the previous line.
    """
    if line.startswith("From: "):
        return following.startswith("Type: ")
    return line.startswith("Type: ") and following.startswith(("Sent: ", "Received: ")) and not last.strip()


class _Entry:
    """Collector of the lines of a message in sigtop's long form.

    Args:
        number: the number of its first line.
        limit: the length limit of the text in characters; lines beyond it are left out.
    """

    def __init__(self, number: int, limit: int) -> None:
        self.number = number
        self._fields: dict[str, str] = {}
        self._body: list[str] | None = None
        self._room = limit

    def add(self, line: str) -> None:
        """Add a line."""
        field = _FIELD.match(line) if self._body is None else None
        self._room -= len(line)
        if field is not None:
            self._fields.setdefault(field[1], field[2])
        elif self._body is None:
            self._body = []
        elif self._room >= 0:
            self._body.append(line)

    def finish(self, chat: str) -> ChatMessage:
        """Return the message; raise ValueError if its time cannot be read."""
        body = self._body or []
        text = "\n".join(_last_version(body) if "Edited" in self._fields else body)
        sender = read_name(_NUMBER.sub("", self._fields.get("From", ""))) or UNKNOWN
        message = ChatMessage(self.number, chat, self._time(), sender, "")
        if self._fields.get("Type") not in _SAID:
            return message._replace(kind="system")
        return _with_text(message, _QUOTE.sub("", text + "\n", count=1))

    def _time(self) -> float | None:
        text = self._fields.get("Sent") or self._fields.get("Received") or ""
        if not text.strip():
            return None
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            refuse_time(text)
        return read_time(moment.isoformat())


def _last_version(lines: Iterable[str]) -> list[str]:
    """Return the lines of the last version of an edited message.

    The last version is written first. Its text follows fields and an empty line.
    """
    found: list[str] = []
    fields = 0
    for line in lines:
        text = line.removeprefix("|").removeprefix(" ")
        if text.startswith("Version: "):
            fields += 1
        if fields > 1:
            break
        found.append(text)
    begin = found.index("") + 1 if "" in found else len(found)
    return found[begin:]


SIGNAL_TEXT = ChatFormat("signal_text", "Signal chat as text", score, read_messages)
