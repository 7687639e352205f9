"""A reader in, its conversations out in chunks of bounded size, each with its line."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from convmodel.data.conversation import Conversation, ConversationReader

CHUNK = 2048
"""Conversations of a chunk at most."""

CHUNK_CHARACTERS = 2_000_000
"""A chunk ends after the conversation with which it has so many characters."""


@dataclass(frozen=True)
class Chunk:
    """C conversations of a file, and their S segments: of each its persona sentences, then its turns.

    Args:
        conversations: as they were read.
        lines: (C,) where each begins, counted from 1.
    """

    conversations: list[Conversation]
    lines: np.ndarray

    @cached_property
    def texts(self) -> list[str]:
        """The S texts."""
        return [text for c in self.conversations for text in (*c.persona, *c.turns)]

    @cached_property
    def joined(self) -> str:
        """All texts, each with a newline behind it."""
        return "\n".join([*self.texts, ""])

    @cached_property
    def text_starts(self) -> np.ndarray:
        """(S + 1,) where each text begins in `joined`; the last one is where it ends."""
        sizes = np.fromiter(map(len, self.texts), dtype=np.int64, count=len(self.texts))
        return np.append(0, np.cumsum(sizes + 1))

    @cached_property
    def code_points(self) -> np.ndarray:
        """(len(joined),) the code point of each character."""
        return np.frombuffer(self.joined.encode("utf-32-le"), dtype=np.uint32)

    def segments_at(self, positions: np.ndarray | list[int]) -> np.ndarray:
        """The segments in which these positions of `joined` lie, each once, in order."""
        return np.unique(np.searchsorted(self.text_starts, np.asarray(positions, dtype=np.int64), side="right") - 1)

    @cached_property
    def personas(self) -> np.ndarray:
        """(C,) persona sentences of each conversation."""
        return np.array([len(c.persona) for c in self.conversations], dtype=np.int64)

    @cached_property
    def first(self) -> np.ndarray:
        """(C + 1,) the first segment of each conversation; the last one is S."""
        return np.cumsum([0, *(len(c.persona) + len(c.turns) for c in self.conversations)])

    @cached_property
    def owners(self) -> np.ndarray:
        """(S,) the conversation of each segment."""
        return np.repeat(np.arange(len(self.conversations)), np.diff(self.first))

    @cached_property
    def turn_numbers(self) -> np.ndarray:
        """(S,) the number of each turn in its conversation, from 0; persona sentences have negative numbers."""
        return np.arange(len(self.texts)) - (self.first[:-1] + self.personas)[self.owners]

    def name_of(self, segment: int) -> str:
        """What a segment is called: `turn 3`, or `persona sentence 1`."""
        number = int(self.turn_numbers[segment])
        if number >= 0:
            return f"turn {number + 1}"
        return f"persona sentence {number + 1 + int(self.personas[self.owners[segment]])}"


def chunks(reader: ConversationReader) -> Iterator[Chunk]:
    """The conversations of a file, read once."""
    found: list[Conversation] = []
    lines: list[int] = []
    characters = 0
    for line, conversation in reader.numbered():
        found.append(conversation)
        lines.append(line)
        characters += sum(map(len, conversation.turns))
        if len(found) == CHUNK or characters >= CHUNK_CHARACTERS:
            yield Chunk(found, np.array(lines))
            found, lines, characters = [], [], 0
    if found:
        yield Chunk(found, np.array(lines))
