"""The Conversation class, and reading and writing files of conversations."""

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Unpack

from convmodel.data.formats.base import ConversationFileError, Record, describe_type
from convmodel.data.formats.conversations import CONVERSATIONS
from convmodel.data.formats.jsonl import dump
from convmodel.data.lines import open_atomic
from convmodel.data.options import OnError, OptionValues, ReadOptions
from convmodel.data.reader import Reader, Report, Source, format_count
from convmodel.data.sides import alternate

__all__ = [
    "Conversation",
    "ConversationFileError",
    "ConversationReader",
    "OnError",
    "ReadOptions",
    "ReadReport",
    "alternate",
    "check_speakers",
    "check_text",
    "check_turns",
    "read_conversations",
    "write_conversations",
]


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of two alternating speakers, or of named ones, with an optional persona and metadata.

    Args:
        turns: at least one turn, none of them empty; stored as a tuple, character for character.
        persona: sentences about the speaker who replies; stored as a tuple.
        meta: other fields of the source, by name.
        speakers: the name of the speaker of each turn; stored as a tuple. A speaker may have several turns in a row.
            None if two speakers alternate.

    Raises:
        TypeError, ValueError: see `check_turns` and `check_speakers`.
    """

    turns: tuple[str, ...]
    persona: tuple[str, ...] = ()
    meta: Mapping[str, Any] | None = field(default=None, hash=False)
    speakers: tuple[str, ...] | None = None

    def __init__(
        self,
        turns: Iterable[str],
        persona: Iterable[str] = (),
        meta: Mapping[str, Any] | None = None,
        speakers: Iterable[str] | None = None,
    ) -> None:
        if meta is not None and not isinstance(meta, Mapping):
            raise TypeError(f"meta is {describe_type(meta)}; give an object (dict) or None")
        object.__setattr__(self, "turns", check_turns(turns))
        object.__setattr__(self, "persona", check_turns(persona, what="persona sentence"))
        object.__setattr__(self, "meta", None if meta is None else dict(meta))
        names = None if speakers is None else check_speakers(speakers, len(self.turns))
        object.__setattr__(self, "speakers", names)

    def reversed(self) -> "Conversation":
        """Return the conversation with its turns reversed. The persona is dropped: it describes the last speaker."""
        return Conversation(self.turns[::-1], meta=self.meta, speakers=self.speakers and self.speakers[::-1])

    def alternating(self) -> "Conversation":
        """Return the conversation as two alternating sides: the speaker of the last turn, and all others."""
        if self.speakers is None:
            return self
        return Conversation(alternate(self.turns, self.speakers, self.speakers[-1]), self.persona, self.meta)


def check_speakers(speakers: Iterable[str], turns: int) -> tuple[str, ...]:
    """Check the names of the speakers of some turns, and return them as a tuple.

    Raises:
        TypeError, ValueError: for a name that is missing, empty, not a string or of several lines.
    """
    names = check_turns(speakers, what="speaker")
    if len(names) != turns:
        raise ValueError(f"there are {len(names)} speakers for {turns} turns; give one name for each turn")
    for number, name in enumerate(names, 1):
        if len(name.splitlines()) > 1:
            raise ValueError(f"speaker {number} is {name!r}; give a name of one line")
    return names


def check_turns(turns: Iterable[str], *, what: str = "turn") -> tuple[str, ...]:
    """Check turns, and return them unchanged as a tuple.

    Args:
        turns: any ordered iterable of strings.
        what: the name of an element in error messages. At least one "turn" is required; a list of anything else may
            be empty.

    Raises:
        TypeError: for a single string, an unordered collection, or an element that is not a string.
        ValueError: for an empty list of turns, a turn that is empty or only white space, or a lone surrogate, which
            UTF-8 cannot represent. Every message gives the number of the turn, counted from 1, its value and a remedy.
    """
    if not isinstance(turns, Iterable) or isinstance(turns, str | bytes | bytearray | Mapping | Set):
        raise TypeError(f"the {what}s are {describe_type(turns)}, not a list; give a list of strings")
    checked = tuple(turns)
    if not checked and what == "turn":
        raise ValueError("there are no turns; give at least one")
    # Three passes in C: a file of half a million turns is checked in a few hundredths of a second.
    if set(map(type, checked)) <= {str} and all(map(str.strip, checked)):
        try:
            "".join(checked).encode()
            return checked
        except UnicodeEncodeError:
            pass
    return tuple(check_text(turn, f"{what} {i}") for i, turn in enumerate(checked, 1))


def check_text(turn: object, name: str) -> str:
    """Check one text, and return it unchanged.

    Args:
        turn: the text.
        name: the name of the text in error messages: "turn 2".

    Raises:
        TypeError, ValueError: see `check_turns`.
    """
    if not isinstance(turn, str):
        raise TypeError(f"{name} is {describe_type(turn)}, not a string; give each as one string")
    if not turn.strip():
        raise ValueError(f"{name} is {'only white space' if turn else 'empty'}; remove it or give it text")
    return check_characters(turn, name)


def check_characters(text: str, name: str) -> str:
    """Check that a string, which may be empty, can be encoded as UTF-8, and return it unchanged.

    Raises:
        ValueError: for a lone surrogate.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"U+{ord(text[error.start]):04X}"
        raise ValueError(
            f"{name} holds a lone surrogate ({code}, character {error.start + 1}); remove or replace it"
        ) from None
    return str.__str__(text)  # a subclass of str becomes a plain one


@dataclass
class ReadReport(Report):
    """Counts of one pass over a source of conversations.

    Args:
        conversations: the number of conversations read.
    """

    conversations: int = 0

    formats = CONVERSATIONS

    def describe_read(self) -> str:
        """Return the number of conversations, in words."""
        return format_count(self.conversations, "conversation")


class ConversationReader(Reader[Record, Conversation, ReadReport]):
    """Read the conversations of files or Hub data sets, any number of times, in bounded memory.

    Args:
        source: a path, a folder or a glob, whose files may be compressed, or
            `hub://org/name?column=dialog&split=train`; or a list of them.
        options: the options; see `ReadOptions`.
        min_turns: the smallest number of turns of a conversation; 1 for files of contexts without a response.
        named: whether conversations keep their named speakers. If not, `Conversation.alternating` converts them.
        values: options by name (`format="csv"`); they override `options`.

    Raises:
        ValueError: for an option that is not allowed, or an invalid address.
        ConversationFileError: when the format cannot be recognised; while reading, for an unreadable line ("stop"); at
            the end, for a source without a usable conversation.
        FileNotFoundError, IsADirectoryError: when `source` is missing, or is a folder without files of conversations.
    """

    noun = "conversation"
    formats = CONVERSATIONS
    report_class = ReadReport

    def __init__(
        self,
        source: Source,
        options: ReadOptions | None = None,
        *,
        min_turns: int = 2,
        named: bool = False,
        **values: Unpack[OptionValues],
    ) -> None:
        if min_turns < 1:
            raise ValueError(f"min_turns={min_turns}: give 1 for contexts, 2 for conversations, or more")
        self.min_turns = min_turns
        self.named = named
        super().__init__(source, options, **values)

    def _convert(self, record: Record, report: ReadReport) -> Conversation:
        speakers = record.speakers or (record.names if self.options.keep_speakers else None)
        conversation = Conversation(record.turns, record.persona, record.meta, speakers)
        turns = len(conversation.turns)
        if turns < self.min_turns == 2:
            raise ValueError("there is only one turn; a conversation needs two, give it a response")
        if turns < self.min_turns:
            counted = "is only one turn" if turns == 1 else f"are only {turns} turns"
            raise ValueError(f"there {counted}; {self.min_turns} are needed")
        report.conversations += 1
        return conversation if self.named else conversation.alternating()


def read_conversations(
    source: Source, options: ReadOptions | None = None, *, min_turns: int = 2, **values: Unpack[OptionValues]
) -> Iterator[Conversation]:
    """Yield the conversations of a source once, with the names of speakers; see `ConversationReader`."""
    return iter(ConversationReader(source, options, min_turns=min_turns, named=True, **values))


def write_conversations(conversations: Iterable[Conversation], path: str | os.PathLike[str]) -> int:
    """Write conversations as JSON Lines, from which `read_conversations` reads equal conversations.

    Args:
        conversations: conversations of at least two turns. They may be read from the file that is written.
        path: the output file, gzipped if its name ends in .gz. It is created or replaced only after everything is
            written.

    Returns:
        The number of conversations written.

    Raises:
        TypeError: for an element that is not a Conversation.
        ValueError: for a conversation of one turn, or a meta that JSON cannot represent. The file is unchanged then.
    """
    written = 0
    with open_atomic(os.fspath(path)) as file:
        for written, conversation in enumerate(conversations, 1):
            file.write(encode_line(conversation, written))
    return written


def encode_line(conversation: Conversation, number: int) -> bytes:
    """Return a conversation as a line of JSON Lines; see `write_conversations`. Errors name its number."""
    if not isinstance(conversation, Conversation):
        raise TypeError(f"conversation {number} is {describe_type(conversation)}; make it a Conversation")
    if len(conversation.turns) < 2:
        raise ValueError(f"conversation {number} has one turn; in a file each has at least two")
    try:
        line = dump(conversation.turns, conversation.persona, conversation.meta, conversation.speakers)
    except ValueError as error:
        raise ValueError(f"conversation {number}: {error}") from None
    return line.encode() + b"\n"
