"""Conversation files in, Conversations out, and back; knows nothing of tokens."""

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from convmodel.data.formats.base import ConversationFileError, Problem, Record, describe_type
from convmodel.data.formats.conversations import CONVERSATIONS
from convmodel.data.formats.jsonl import dump
from convmodel.data.lines import DEFAULT_MAX_LINE_BYTES, replacing
from convmodel.data.reader import OnError, Reader, Report, count

__all__ = [
    "Conversation",
    "ConversationFileError",
    "ConversationReader",
    "OnError",
    "ReadReport",
    "check_text",
    "check_turns",
    "read_conversations",
    "write_conversations",
]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns, two speakers alternating, and what is known beside them.

    Args:
        turns: at least one, none of them empty; kept as a tuple, character for character.
        persona: sentences about the speaker who replies; kept as a tuple.
        meta: whatever else came with it, under its names.

    Raises:
        TypeError, ValueError: see `check_turns`.
    """

    turns: tuple[str, ...]
    persona: tuple[str, ...] = ()
    meta: Mapping[str, Any] | None = field(default=None, hash=False)

    def __init__(
        self, turns: Iterable[str], persona: Iterable[str] = (), meta: Mapping[str, Any] | None = None
    ) -> None:
        if meta is not None and not isinstance(meta, Mapping):
            raise TypeError(f"meta is {describe_type(meta)}; give an object (dict) or None")
        object.__setattr__(self, "turns", check_turns(turns))
        object.__setattr__(self, "persona", check_turns(persona, what="persona sentence"))
        object.__setattr__(self, "meta", None if meta is None else dict(meta))

    def reversed(self) -> "Conversation":
        """The same from its end, without the persona, which describes who speaks last."""
        return Conversation(self.turns[::-1], meta=self.meta)


def check_turns(turns: Iterable[str], *, what: str = "turn") -> tuple[str, ...]:
    """Checks strings that are to be turns, and returns them as a tuple, otherwise untouched.

    Args:
        turns: any iterable of strings that has an order.
        what: what one of them is called in errors. There must be a "turn"; anything else may be absent.

    Raises:
        TypeError: for one bare string, something without order, or anything in it that is not a string.
        ValueError: for no turns, an empty or white-space-only one, or a lone surrogate, which UTF-8 cannot
            hold. Every message names the turn, counted from 1, what came, and what to do.
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
    """Checks what is to be one text, and returns it untouched.

    Args:
        turn: the text.
        name: what it is called in errors: "turn 2".

    Raises:
        TypeError, ValueError: as for one of the turns of `check_turns`.
    """
    if not isinstance(turn, str):
        raise TypeError(f"{name} is {describe_type(turn)}, not a string; give each as one string")
    if not turn.strip():
        raise ValueError(f"{name} is {'only white space' if turn else 'empty'}; remove it or give it text")
    return check_characters(turn, name)


def check_characters(text: str, name: str) -> str:
    """Checks that a string, which may be empty, can be written as UTF-8, and returns it untouched.

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
    """What one reading of a source came to, so far.

    Args:
        conversations: how many were read.
    """

    conversations: int = 0

    formats = CONVERSATIONS

    def found(self) -> str:
        """How many conversations."""
        return count(self.conversations, "conversation")


class ConversationReader(Reader[Record, Conversation, ReadReport]):
    """Reads the conversations of a file or of a Hub data set, as often as wanted, in bounded memory.

    Args:
        source: a path, plain or gzipped, or `hub://org/name?column=dialog&split=train`.
        format: one of jsonl, parlai, fbdialog, ubuntu, csv, tsv, hub; None recognises it from the content.
        on_error: "stop" raises at the first thing that cannot be read, "skip" counts it and reads on.
        max_line_bytes: a longer line counts as one that cannot be read.
        min_turns: fewer turns are no conversation; 1 where files hold contexts that wait for a response.

    Raises:
        ValueError: for an unknown `format` or `on_error`, or an address that cannot be read.
        ConversationFileError: when the format cannot be recognised; while reading, for what cannot be read
            ("stop"), and at the end for a source with nothing usable in it.
        FileNotFoundError, IsADirectoryError: when `source` is no file.
    """

    noun = "conversation"
    formats = CONVERSATIONS

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        format: str | None = None,
        on_error: OnError = "stop",
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        min_turns: int = 2,
    ) -> None:
        if min_turns < 1:
            raise ValueError(f"min_turns={min_turns}: give 1 for contexts, 2 for conversations, or more")
        self.min_turns = min_turns
        super().__init__(source, format=format, on_error=on_error, max_line_bytes=max_line_bytes)

    def _new_report(self) -> ReadReport:
        return ReadReport(self.source, self.format)

    def _make(self, record: Record, report: ReadReport) -> Iterable[tuple[int, Conversation] | Problem]:
        made = _conversation(record, self.min_turns)
        if isinstance(made, Problem):
            return (made,)
        report.conversations += 1
        return ((record.line, made),)


def read_conversations(
    source: str | os.PathLike[str],
    *,
    format: str | None = None,
    on_error: OnError = "stop",
    max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
    min_turns: int = 2,
) -> Iterator[Conversation]:
    """Yields the conversations of a file or a Hub data set once; all else is as in `ConversationReader`."""
    return iter(
        ConversationReader(source, format=format, on_error=on_error, max_line_bytes=max_line_bytes, min_turns=min_turns)
    )


def write_conversations(conversations: Iterable[Conversation], path: str | os.PathLike[str]) -> int:
    """Writes JSON Lines from which `read_conversations` makes equal conversations.

    Args:
        conversations: each with at least two turns. They may come from the very file that is written.
        path: gzipped when it ends in .gz. It appears, or is replaced, only when everything is written.

    Returns:
        How many were written.

    Raises:
        TypeError: for anything that is not a Conversation.
        ValueError: for a conversation of one turn, or a meta that JSON cannot hold; nothing is written then.
    """
    written = 0
    with replacing(os.fspath(path)) as file:
        for written, conversation in enumerate(conversations, 1):
            if not isinstance(conversation, Conversation):
                raise TypeError(f"conversation {written} is {describe_type(conversation)}; make it a Conversation")
            if len(conversation.turns) < 2:
                raise ValueError(f"conversation {written} has one turn; in a file each has at least two")
            try:
                line = dump(conversation.turns, conversation.persona, conversation.meta)
            except ValueError as error:
                raise ValueError(f"conversation {written}: {error}") from None
            file.write(line.encode() + b"\n")
    return written


def _conversation(record: Record, min_turns: int) -> Conversation | Problem:
    try:
        conversation = Conversation(record.turns, record.persona, record.meta)
    except (TypeError, ValueError) as error:
        return Problem(record.line, str(error))
    turns = len(conversation.turns)
    if turns >= min_turns:
        return conversation
    if min_turns == 2:
        return Problem(record.line, "there is only one turn; a conversation needs two, give it a response")
    return Problem(
        record.line, f"there {'is only one turn' if turns == 1 else f'are only {turns} turns'}; {min_turns} are needed"
    )
