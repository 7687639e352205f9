"""Data classes that the store returns and accepts; times are microseconds since 1970, UTC."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Speaker = Literal["user", "model"]


@dataclass(frozen=True)
class Turn:
    """A turn of a conversation.

    Args:
        number: position in the conversation, from 1.
        text: the text, or the placeholder of a blocked text.
        created: time of creation.
        reply: candidates and statistics of a generated reply, as JSON; None for a user turn or an imported turn.
        chosen: index, from 0, of the reply's candidate that is the turn's text.
        blocked: whether the turn is part of a blocked exchange, which the contexts of later replies leave out.
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
    """Settings of a conversation.

    Args:
        persona: sentences about the replying side.
        model: name of the model that replies; None means the server's own model.
        preset: name of the responder's preset; None uses the server's default preset.
        options: decoding options that override the preset.
        seed: seed of the first reply to each turn; None draws a seed per reply.
        meta: a JSON object that the client stores with the conversation.
    """

    title: str | None = None
    persona: tuple[str, ...] = ()
    model: str | None = None
    preset: str | None = None
    options: Mapping[str, Any] | None = None
    seed: int | None = None
    meta: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ConversationHeader:
    """A conversation without its turns.

    Args:
        id: 128 random bits as 22 characters.
        owner: name of the API key that may access the conversation.
        about: the settings.
        created: time of creation.
        updated: time of the last change.
        version: version number; 1 at creation, incremented by each change.
        turns_version: the conversation's version after the last change of its turns. It does not change with the
            settings, so that settings may be changed while a reply is in progress.
        turn_count: number of turns.
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
    """A conversation with its turns in their order."""

    turns: tuple[Turn, ...] = ()

    @property
    def waiting(self) -> bool:
        """Whether the last turn is the user's and has no reply yet."""
        return bool(self.turns) and self.turns[-1].speaker == "user"


@dataclass(frozen=True)
class ConversationSummary(ConversationHeader):
    """A conversation in a listing, with its last turn; None if it has no turns."""

    last: Turn | None = None


def now() -> int:
    """Return the current time in microseconds since 1970."""
    return time.time_ns() // 1000
