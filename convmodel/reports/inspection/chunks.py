"""Chunks of conversations of bounded size, with arrays that several checks use."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from convmodel.data.conversation import Conversation, ConversationReader

CHUNK = 2048
"""Maximum number of conversations in a chunk."""

CHUNK_CHARACTERS = 2_000_000
"""Number of characters of a chunk from which on no further conversation is added."""


@dataclass(frozen=True)
class Chunk:
    """C conversations of a file.

    Their S segments are the persona sentences and then the turns of the first conversation, those of the second, and so
    on.

    Args:
        conversations: the conversations.
        lines: (C,) line in which each conversation begins, from 1.
    """

    conversations: list[Conversation]
    lines: np.ndarray

    @cached_property
    def texts(self) -> list[str]:
        """Texts of the S segments."""
        return [text for c in self.conversations for text in (*c.persona, *c.turns)]

    @cached_property
    def joined(self) -> str:
        """All texts, each followed by a newline."""
        return "\n".join([*self.texts, ""])

    @cached_property
    def text_starts(self) -> np.ndarray:
        """(S + 1,) start of each text in `joined`; the last entry is the length of `joined`."""
        sizes = np.fromiter(map(len, self.texts), dtype=np.int64, count=len(self.texts))
        return np.append(0, np.cumsum(sizes + 1))

    @cached_property
    def code_points(self) -> np.ndarray:
        """(len(joined),) code point of each character."""
        return np.frombuffer(self.joined.encode("utf-32-le"), dtype=np.uint32)

    def segments_at(self, positions: np.ndarray | list[int]) -> np.ndarray:
        """Return the distinct segments that contain positions in `joined`, in ascending order."""
        return np.unique(np.searchsorted(self.text_starts, np.asarray(positions, dtype=np.int64), side="right") - 1)

    @cached_property
    def personas(self) -> np.ndarray:
        """(C,) number of persona sentences of each conversation."""
        return np.array([len(c.persona) for c in self.conversations], dtype=np.int64)

    @cached_property
    def first(self) -> np.ndarray:
        """(C + 1,) index of the first segment of each conversation; the last entry is S."""
        return np.cumsum([0, *(len(c.persona) + len(c.turns) for c in self.conversations)])

    @cached_property
    def owners(self) -> np.ndarray:
        """(S,) index in the chunk of the conversation of each segment."""
        return np.repeat(np.arange(len(self.conversations)), np.diff(self.first))

    @cached_property
    def turn_indices(self) -> np.ndarray:
        """(S,) index of each turn in its conversation, from 0; persona sentences have negative indices."""
        segments: np.ndarray = np.arange(len(self.texts)) - (self.first[:-1] + self.personas)[self.owners]
        return segments

    def name_of(self, segment: int) -> str:
        """Return the name of a segment in messages: `turn 3`, or `persona sentence 1`."""
        index = int(self.turn_indices[segment])
        if index >= 0:
            return f"turn {index + 1}"
        return f"persona sentence {index + 1 + int(self.personas[self.owners[segment]])}"


def read_chunks(reader: ConversationReader) -> Iterator[Chunk]:
    """Yield the conversations of a file in chunks. The file is read once."""
    conversations: list[Conversation] = []
    lines: list[int] = []
    characters = 0
    for line, conversation in reader.with_line_numbers():
        conversations.append(conversation)
        lines.append(line)
        characters += sum(map(len, conversation.turns))
        if len(conversations) == CHUNK or characters >= CHUNK_CHARACTERS:
            yield Chunk(conversations, np.array(lines))
            conversations = []
            lines = []
            characters = 0
    if conversations:
        yield Chunk(conversations, np.array(lines))
