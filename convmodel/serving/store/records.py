"""What a store keeps, as the rest of the server sees it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Speaker = Literal["user", "model"]


@dataclass(frozen=True)
class Turn:
    """One turn.

    Args:
        number: from 1.
        speaker: who spoke.
        text: as it is read later.
        created: microseconds since 1970.
        reply: how it came to be, as JSON; None for a person's turn or one that was imported.
        chosen: which of the reply's candidates it is, from 0.
        blocked: whether it belongs to an exchange that the policy blocked, which no later context holds.
    """

    number: int
    speaker: Speaker
    text: str
    created: int
    reply: Mapping[str, Any] | None = None
    chosen: int = 0
    blocked: bool = False


@dataclass(frozen=True)
class ConversationSettings:
    """What can be set of a conversation.

    Args:
        title: None where it has none.
        persona: sentences about the one who replies.
        preset: of the responder, or None.
        options: on top of it.
        seed: of first replies, or None.
        meta: whatever else is kept with it.
    """

    title: str | None = None
    persona: tuple[str, ...] = ()
    preset: str | None = None
    options: Mapping[str, Any] | None = None
    seed: int | None = None
    meta: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ConversationHeader:
    """A conversation without its turns.

    Args:
        id: 128 random bits, 22 characters.
        owner: who alone can see it.
        about: what can be set.
        created, updated: microseconds since 1970.
        version: counts its changes.
        turns_version: the version in which the turns last changed.
        turn_count: how many there are.
    """

    id: str
    owner: str
    about: ConversationSettings
    created: int
    updated: int
    version: int
    turns_version: int
    turn_count: int


@dataclass(frozen=True)
class ConversationRecord(ConversationHeader):
    """A conversation with its turns, in order."""

    turns: tuple[Turn, ...] = ()

    @property
    def waiting(self) -> bool:
        """Whether the last turn waits for a reply."""
        return bool(self.turns) and self.turns[-1].speaker == "user"


@dataclass(frozen=True)
class ConversationSummary(ConversationHeader):
    """A conversation in a list, with its last turn."""

    last: Turn | None = None


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000
