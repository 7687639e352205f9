"""Conversation files in, Conversations out, and back; knows nothing of tokens."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from . import formats
from .formats.base import ConversationFileError, Format, Problem, Record, kind
from .formats.jsonl import dump
from .formats.lines import DEFAULT_MAX_LINE_BYTES, check_is_file, read_lines, replacing

__all__ = [
    "Conversation",
    "ConversationFileError",
    "ConversationReader",
    "OnError",
    "ReadReport",
    "check_turns",
    "read_conversations",
    "write_conversations",
]

OnError = Literal["stop", "skip"]

_PROBLEMS_KEPT = 10


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
            raise TypeError(f"meta is {kind(meta)}; give an object (dict) or None")
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
        raise TypeError(f"the {what}s are {kind(turns)}, not a list; give a list of strings")
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
    return tuple(_check_turn(turn, f"{what} {i}") for i, turn in enumerate(checked, 1))


def _check_turn(turn: object, name: str) -> str:
    if not isinstance(turn, str):
        raise TypeError(f"{name} is {kind(turn)}, not a string; give each as one string")
    if not turn.strip():
        raise ValueError(f"{name} is {'only white space' if turn else 'empty'}; remove it or give it text")
    try:
        turn.encode()
    except UnicodeEncodeError as error:
        code = f"U+{ord(turn[error.start]):04X}"
        raise ValueError(
            f"{name} holds a lone surrogate ({code}, character {error.start + 1}); remove or replace it"
        ) from None
    return str.__str__(turn)  # a subclass of str becomes a plain one


@dataclass
class ReadReport:
    """What one reading of a source came to, so far.

    Args:
        source: path or address.
        format: name of the format.
        conversations: how many were read.
        skipped: how many lines, rows or episodes could not be used.
        problems: the first ten of the reasons, each "path:line: what is wrong; what to do".
    """

    source: str
    format: str
    conversations: int = 0
    skipped: int = 0
    problems: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One sentence for a person."""
        names = _names(self.format)
        text = f"{self.source}: {names.human_name}, {_count(self.conversations, 'conversation')}"
        if not self.skipped:
            return text
        return f"{text}; {_count(self.skipped, names.unit)} skipped: first {self.problems[0]}"


class ConversationReader:
    """Reads the conversations of a file or of a Hub data set, as often as wanted, in bounded memory.

    Args:
        source: a path, plain or gzipped, or `hub://org/name?column=dialog&split=train`.
        format: one of jsonl, parlai, fbdialog, csv, tsv, hub; None recognises it from the content.
        on_error: "stop" raises at the first thing that cannot be read, "skip" counts it and reads on.
        max_line_bytes: a longer line counts as one that cannot be read.
        min_turns: fewer turns are no conversation; 1 where files hold contexts that wait for a response.

    Raises:
        ValueError: for an unknown `format` or `on_error`, or an address that cannot be read.
        ConversationFileError: when the format cannot be recognised; while reading, for what cannot be read
            ("stop"), and at the end for a source with nothing usable in it.
        FileNotFoundError, IsADirectoryError: when `source` is no file.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        format: str | None = None,
        on_error: OnError = "stop",
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        min_turns: int = 2,
    ) -> None:
        self.source = os.fspath(source)
        if on_error not in get_args(OnError):
            raise ValueError(f"on_error={on_error!r}: allowed are 'stop' and 'skip'")
        if max_line_bytes < 1:
            raise ValueError(f"max_line_bytes={max_line_bytes}: give the longest allowed line in bytes")
        if min_turns < 1:
            raise ValueError(f"min_turns={min_turns}: give 1 for contexts, 2 for conversations, or more")
        self.on_error = on_error
        self.max_line_bytes = max_line_bytes
        self.min_turns = min_turns
        self.format = _find_format(self.source, format)
        self.report = ReadReport(self.source, self.format)

    def __iter__(self) -> Iterator[Conversation]:
        """Streams the conversations from the start; `self.report` then counts this iteration."""
        return (conversation for _, conversation in self.numbered())

    def numbered(self) -> Iterator[tuple[int, Conversation]]:
        """As iterating, with the line (or row) where each conversation begins, counted from 1."""
        report = self.report = ReadReport(self.source, self.format)
        for item in self._items():
            made = _conversation(item, self.min_turns) if isinstance(item, Record) else item
            if isinstance(made, Conversation):
                report.conversations += 1
                yield item.line, made
                continue
            problem = f"{self.place(made.line)}: {made.message}"
            if self.on_error == "stop":
                raise ConversationFileError(f"{problem}, or read with on_error='skip'")
            report.skipped += 1
            if len(report.problems) < _PROBLEMS_KEPT:
                report.problems.append(problem)
        if not report.conversations:
            raise ConversationFileError(_nothing(report))

    def place(self, line: int) -> str:
        """How a line is named to a person: `train.jsonl:17`, or `hub://org/name:row 17`."""
        return f"{self.source}:{'row ' if self.format == formats.HUB.name else ''}{line}"

    def fingerprint(self) -> str:
        """A digest of what is read: of a file's bytes, or of a data set's commit. It changes when they change."""
        if self.format == formats.HUB.name:
            return hashlib.blake2b(formats.hub_fingerprint(self.source).encode(), digest_size=16).hexdigest()
        with open(self.source, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

    def _items(self) -> Iterator[Record | Problem]:
        if self.format == formats.HUB.name:
            return formats.read_hub(self.source)
        check_is_file(self.source)
        lines = read_lines(self.source, max_line_bytes=self.max_line_bytes)
        return formats.FILE_FORMATS[self.format].read(lines)


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
                raise TypeError(f"conversation {written} is {kind(conversation)}; make it a Conversation")
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


def _find_format(source: str, name: str | None) -> str:
    allowed = (*formats.FILE_FORMATS, formats.HUB.name)
    if name is not None and name not in allowed:
        raise ValueError(f"format={name!r}: allowed are {', '.join(allowed)}")
    if source.startswith(formats.SCHEME):
        formats.parse_address(source)
        if name not in (None, formats.HUB.name):
            raise ValueError(f"{source}: format={name!r} does not go with a Hub address; leave it out")
        return formats.HUB.name
    if name == formats.HUB.name:
        raise ValueError(f"{source}: is no Hub address; write hub://org/name?column=dialog&split=train")
    if name is None:
        return formats.recognise(source).name
    check_is_file(source)
    return name


def _names(format: str) -> Format:
    return formats.FILE_FORMATS.get(format, formats.HUB)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _nothing(report: ReadReport) -> str:
    if not report.skipped:
        return f"{report.source}: there are no conversations in it; check that it is the right one"
    skipped = _count(report.skipped, _names(report.format).unit)
    return f"{report.source}: no conversation could be used, {skipped} skipped; first {report.problems[0]}"
