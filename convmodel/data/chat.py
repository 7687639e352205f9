"""Conversations from people's own chats: messages of several people become turns of two sides."""

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from convmodel.data.chat_fields import UNKNOWN, read_name
from convmodel.data.data_file import Notes
from convmodel.data.formats.base import DataFileError, Problem, Record, shorten
from convmodel.data.mask import mask
from convmodel.data.messages import join_turns
from convmodel.data.options import ReadOptions, name_option
from convmodel.data.people import find_similar, is_same_person

_NAMES_SHOWN = 10


class ChatMessage(NamedTuple):
    """A message of a chat export.

    Args:
        line: the number of its first line, counted from 1.
        chat: the name of its chat. The messages of a chat are consecutive, and in the order of time.
        time: the time in seconds since 1970, in UTC or in local time; None if the export has no times.
        sender: the name of the person.
        text: the text.
        kind: "text"; "media" for pictures, recordings, stickers and calls, which have no text; "system" for notices of
            the chat program ("Ida left"), and for deleted messages; "repeated" for a message that another file also
            has.
        file: the name of the file, if an export has several.
    """

    line: int
    chat: str
    time: float | None
    sender: str
    text: str
    kind: Literal["text", "media", "system", "repeated"] = "text"
    file: str | None = None


def conversations_from_chat(
    messages: Iterable[ChatMessage | Problem], options: ReadOptions, notes: Notes, *, source: str
) -> Iterator[Record | Problem]:
    """Yield the conversations of a chat in which one person, `options.me`, replies to the others.

    Successive messages of one side, or of one person if names are kept, become one turn, joined with newlines. A gap,
    or another chat, begins a new conversation. Each conversation ends with a reply; messages of the others after it are
    left out and counted, as are media, system messages, and conversations without a reply.

    Args:
        messages: the messages.
        options: the options of the reader: `me`, `gap`, `name_speakers`, `mask` and `keep_speakers`.
        notes: the notes for the report of this pass, to which the counts are added.
        source: the name of the export in error messages.

    Raises:
        DataFileError: at the end, when `me` is not given or is not among the names; the message lists them.
    """
    senders: Counter[str] = Counter()
    conversation = _ChatConversation(options, notes)
    for message in messages:
        if isinstance(message, Problem):
            yield message
        elif message.kind != "text" or not message.text.strip():
            notes.left_out[f"{'media' if message.kind == 'text' else message.kind} message"] += 1
            if message.kind == "media":
                yield from conversation.see(message)
        else:
            senders[message.sender] += 1
            notes.messages[message.sender] += 1
            notes.characters[message.sender] += len(message.text)
            if options.me is not None:
                yield from conversation.add(message)
    yield from conversation.finish()
    if senders and not any(is_same_person(sender, options.me) for sender in senders):
        raise DataFileError(f"{source}: {_ask_for_me(senders, options.me)}")


def _ask_for_me(senders: Counter[str], me: str | None) -> str:
    names = ", ".join(
        f"{shorten(name)} ({count:,} message{'s' * (count != 1)})" for name, count in senders.most_common(_NAMES_SHOWN)
    )
    names += ", ..." if len(senders) > _NAMES_SHOWN else ""
    fault = "it is a chat export" if me is None else f"nobody in it is called {me!r}"
    example = name_option("me", find_similar(senders, me or "") or senders.most_common(1)[0][0])
    return f"{fault}; say which person the model replies as, with {example} for example; there are {names}"


class _ChatConversation:
    """Collector of the messages of the current conversation."""

    def __init__(self, options: ReadOptions, notes: Notes) -> None:
        self._options = options
        self._notes = notes
        self._messages: list[ChatMessage] = []
        self._last: ChatMessage | None = None
        self._seen: dict[int, str | None] = {}
        self._me = ""
        self._characters = 0

    def see(self, message: ChatMessage) -> Iterator[Record]:
        """Register a message without text, from which the next gap is measured.

        If a gap or another chat precedes it, first yield the previous conversation.
        """
        if self._last is not None and self._is_apart(self._last, message):
            yield from self.finish()
        self._last = message._replace(text="")

    def add(self, message: ChatMessage) -> Iterator[Record]:
        """Add a message. If it begins a new conversation, first yield the previous one."""
        yield from self.see(message)
        self._characters += len(message.text)
        self._messages.append(message)

    def finish(self) -> Iterator[Record]:
        """Yield the collected conversation if it has a reply, and begin the next one."""
        messages = self._messages
        self._messages = []
        self._characters = 0
        replies = [i for i, message in enumerate(messages) if is_same_person(message.sender, self._options.me)]
        kept = messages[: replies[-1] + 1] if replies else []
        said = join_turns((self._speaker(message), self._text(message)) for message in kept)
        turns = [text for _, text in said]
        if len(turns) < 2:
            self._notes.left_out["unanswered message"] += len(messages)
            return
        self._notes.left_out["unanswered message"] += len(messages) - len(kept)
        first = kept[0]
        if self._is_repeated(first, turns):
            self._notes.left_out["repeated message"] += len(kept)
            return
        speakers = [name for name, _ in said] if self._options.keep_speakers else None
        yield Record(first.line, turns, (), _time(first), file=first.file, speakers=speakers)

    def _is_repeated(self, first: ChatMessage, turns: list[str]) -> bool:
        """Return whether another file has the same conversation, as when two exports of a chat overlap."""
        if first.time is None:
            return False
        key = hash((first.time, *turns))
        return self._seen.setdefault(key, first.file) != first.file

    def _is_apart(self, last: ChatMessage, message: ChatMessage) -> bool:
        """Return whether a message begins a new conversation: another chat, a gap, or more text than the limit."""
        if last.chat != message.chat or self._characters + len(message.text) > self._options.line_limit:
            return True
        if last.time is None or message.time is None:
            return False
        return abs(message.time - last.time) >= self._options.gap_seconds

    def _speaker(self, message: ChatMessage) -> str:
        """Return the speaker of a message: one of two sides, or a name if names are kept."""
        is_me = is_same_person(message.sender, self._options.me)
        if not self._options.keep_speakers:
            return "me" if is_me else "others"
        name = read_name(mask(message.sender) if self._options.mask else message.sender) or UNKNOWN
        if is_me:
            self._me = self._me or name  # one spelling on all messages of this person
        return self._me if is_me else name

    def _text(self, message: ChatMessage) -> str:
        text = mask(message.text) if self._options.mask else message.text
        is_named = self._options.name_speakers and not is_same_person(message.sender, self._options.me)
        return f"{message.sender}: {text}" if is_named else text


def _time(message: ChatMessage) -> dict[str, str] | None:
    """Return the meta of a conversation: the time of its first message, or None if that has no valid time."""
    if message.time is None:
        return None
    begin = datetime.datetime(1970, 1, 1)
    try:
        return {"time": (begin + datetime.timedelta(seconds=int(message.time))).isoformat()}
    except OverflowError:
        return None
