"""The bodies of the addresses of conversations: what may be in them, and what it means."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from convmodel.serving.schemas import MOST_SEED, Options, ReplyBody, RequestModel, ResponseModel, Seed, Text
from convmodel.serving.store import ConversationHeader, ConversationRecord, ConversationSummary, Turn

Title = Annotated[str, StringConstraints(max_length=500)]
Preset = Annotated[str, StringConstraints(max_length=100)]
Version = Annotated[
    int, Field(ge=1, le=MOST_SEED, description="the newest version that you know; another one is a conflict (409)")
]

BEGINNING = 100
"""Characters of the last turn that a list shows."""


class NewConversation(RequestModel):
    """What a conversation begins with; everything may be left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Pets", "persona": ["I have two cats."]}]})

    title: Title | None = None
    persona: list[Text] | None = Field(None, description="sentences about the one who replies; null is the server's")
    preset: Preset | None = Field(None, description="a set of options, see /about; null is the server's usual one")
    options: Options | None = Field(None, description="on top of the preset")
    seed: Seed | None = Field(None, description="of every first reply to a turn; null draws one for each")
    meta: dict[str, Any] | None = Field(None, description="whatever else is to be kept with it")
    turns: list[Text] | None = Field(None, description="that were said elsewhere: the first is the user's")


class ConversationChange(RequestModel):
    """What is to be different; what is left out stays, null is as if it had never been set."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Cats", "seed": 3}]})

    title: Title | None = None
    persona: list[Text] | None = None
    preset: Preset | None = None
    options: Options | None = Field(None, description="all of them: they replace those that there were")
    seed: Seed | None = None
    meta: dict[str, Any] | None = None
    version: Version | None = None


class AskReply(RequestModel):
    """How the reply is made, where not as the conversation says."""

    version: Version | None = None
    stream: bool = Field(False, description="whether the reply comes piece by piece, as text/event-stream")
    preset: Preset | None = Field(None, description="for this reply, instead of the conversation's preset and options")
    options: Options | None = Field(None, description="for this reply, on top")
    seed: Seed | None = Field(None, description="of this reply")


class Say(AskReply):
    """What the user says."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Do you have any pets?", "seed": 1}]})

    text: Text
    join: bool = Field(
        False, description="whether it is added, in a new line, to a turn that still waits for its reply"
    )


class Undo(RequestModel):
    """Which version is to lose its last exchange."""

    version: Version | None = None


class Choose(RequestModel):
    """Which candidate of the last reply is to be said."""

    candidate: Annotated[int, Field(ge=1, le=1_000_000, description="its number, from 1")]
    version: Version | None = None


class TurnBody(ResponseModel):
    """One turn."""

    number: int = Field(description="from 1")
    speaker: Literal["user", "model"]
    text: str
    created: str = Field(description="ISO 8601, UTC")
    reply: ReplyBody | None = Field(description="how it came to be; null for the user's and for imported ones")
    chosen: int = Field(description="which of the reply's candidates it is, from 0")
    blocked: bool = Field(description="whether the exchange was blocked; later replies do not know of it")


class _About(ResponseModel):
    id: str
    title: str | None
    created: str = Field(description="ISO 8601, UTC")
    updated: str = Field(description="ISO 8601, UTC")
    version: int = Field(description="counts the changes, from 1")
    persona: list[str]
    preset: str | None
    options: dict[str, Any]
    seed: int | None
    waiting: bool = Field(description="whether the last turn waits for a reply")
    meta: dict[str, Any] | None


class ConversationBody(_About):
    """A conversation."""

    turns: list[TurnBody]


class ListedBody(_About):
    """A conversation in a list."""

    turn_count: int
    last: str | None = Field(description="the beginning of the last turn")


class ListBody(ResponseModel):
    """A page of conversations, the youngest first."""

    conversations: list[ListedBody]
    next: str | None = Field(description="give it as `before` for the next page; null on the last")


class AnswerBody(ResponseModel):
    """What came of asking for a reply."""

    turn: TurnBody | None = Field(description="the model's; null when nothing was written")
    reply: ReplyBody
    version: int
    waiting: bool = Field(description="whether the last turn waits for a reply")


class SaidBody(AnswerBody):
    """What was said, and what came of it."""

    said: TurnBody


class UndoneBody(ResponseModel):
    """What was taken back, and what is left."""

    taken: list[TurnBody]
    conversation: ConversationBody


class StoppedBody(ResponseModel):
    """The reply that is being made ends."""

    stopped: bool = True


def moment(microseconds: int) -> str:
    """A time as ISO 8601 writes it, UTC, to the microsecond."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def turn_json(turn: Turn) -> dict[str, Any]:
    """A `TurnBody`."""
    reply = turn.reply and {name: value for name, value in turn.reply.items() if name in ReplyBody.model_fields}
    return {**vars(turn), "created": moment(turn.created), "reply": reply}


def conversation_json(whole: ConversationRecord) -> dict[str, Any]:
    """A `ConversationBody`."""
    return {**_about(whole), "waiting": whole.waiting, "turns": [turn_json(turn) for turn in whole.turns]}


def listed_json(listed: ConversationSummary) -> dict[str, Any]:
    """A `ListedBody`."""
    last = listed.last
    return {
        **_about(listed),
        "waiting": last is not None and last.speaker == "user",
        "turn_count": listed.turn_count,
        "last": None if last is None else last.text[:BEGINNING],
    }


def _about(stored: ConversationHeader) -> Mapping[str, Any]:
    about = stored.about
    return {
        "id": stored.id,
        "title": about.title,
        "created": moment(stored.created),
        "updated": moment(stored.updated),
        "version": stored.version,
        "persona": list(about.persona),
        "preset": about.preset,
        "options": dict(about.options or {}),
        "seed": about.seed,
        "meta": about.meta,
    }
