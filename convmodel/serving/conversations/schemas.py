"""Request and response bodies of the conversation routes."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from convmodel.serving.schemas import MAX_SEED, Options, ReplyBody, RequestModel, ResponseModel, Seed, Text, example
from convmodel.serving.store.records import ConversationHeader, ConversationRecord, ConversationSummary, Turn

Title = Annotated[str, StringConstraints(max_length=500)]
Preset = Annotated[str, StringConstraints(max_length=100)]
ModelName = Annotated[str, StringConstraints(max_length=500)]
Version = Annotated[
    int,
    Field(
        ge=1,
        le=MAX_SEED,
        description="newest version known to the client; error 409 if the conversation has another version",
    ),
]

PREVIEW_CHARS = 100
"""Number of characters of the last turn that a list of conversations shows."""


class _Settings(RequestModel):
    title: Title | None = None
    persona: list[Text] | None = Field(
        None, description="sentences about the replying side; null uses the server's persona"
    )
    model: ModelName | None = Field(
        None, description="name of the model that replies, see /v1/models; null uses the server's own"
    )
    preset: Preset | None = Field(
        None, description="name of a set of options, see /about; null uses the server's default preset"
    )
    options: Options | None = Field(None, description="override the preset's options")
    seed: Seed | None = Field(None, description="seed of every first reply to a turn; null draws a seed per reply")
    meta: dict[str, Any] | None = Field(None, description="any JSON object, stored with the conversation")


class NewConversation(_Settings):
    """Settings and turns of a new conversation; all fields are optional."""

    model_config = example(title="Pets", persona=["I have two cats."])

    turns: list[Text] | None = Field(
        None, description="existing turns, alternating between user and model; the first is the user's"
    )


class ConversationChange(_Settings):
    """Changed settings. Omitted fields keep their values; null resets a field to its default."""

    model_config = example(title="Cats", seed=3)

    options: Options | None = Field(None, description="replace all options of the conversation")
    version: Version | None = None


class NewReply(RequestModel):
    """Parameters of a reply; they override the conversation's settings."""

    version: Version | None = None
    stream: bool = Field(False, description="whether to stream the reply as text/event-stream")
    preset: Preset | None = Field(
        None, description="preset of this reply; replaces the conversation's preset and options"
    )
    options: Options | None = Field(None, description="override the options for this reply")
    seed: Seed | None = Field(None, description="seed of this reply")


class NewTurn(NewReply):
    """The user's turn and the parameters of the reply to it."""

    model_config = example(text="Do you have any pets?", seed=1)

    text: Text
    join: bool = Field(
        False, description="whether to append the text, as a new line, to a turn that still waits for its reply"
    )


class UndoRequest(RequestModel):
    """Parameters of `undo`: the version that the conversation must have, if given."""

    version: Version | None = None


class ChoiceRequest(RequestModel):
    """Parameters of `choose`: the candidate that replaces the last reply."""

    candidate: Annotated[int, Field(ge=1, le=1_000_000, description="index of the candidate, from 1")]
    version: Version | None = None


class TurnBody(ResponseModel):
    """A turn of a conversation."""

    number: int = Field(description="position in the conversation, from 1")
    speaker: Literal["user", "model"]
    text: str
    created: str = Field(description="ISO 8601, UTC")
    reply: ReplyBody | None = Field(
        description="candidates and statistics of a generated reply; null for user turns and imported turns"
    )
    chosen: int = Field(description="index of the reply's candidate that is the turn's text, from 0")
    blocked: bool = Field(description="whether the exchange is blocked; later replies do not see it")


class _About(ResponseModel):
    id: str
    title: str | None
    created: str = Field(description="ISO 8601, UTC")
    updated: str = Field(description="ISO 8601, UTC")
    version: int = Field(description="number of changes, from 1")
    persona: list[str]
    model: str | None = Field(description="the model that replies; null means the server's own")
    preset: str | None
    options: dict[str, Any]
    seed: int | None
    waiting: bool = Field(description="whether the last turn waits for a reply")
    meta: dict[str, Any] | None


class ConversationBody(_About):
    """A conversation with its turns."""

    turns: list[TurnBody]


class ListedBody(_About):
    """A conversation in a list."""

    turn_count: int
    last: str | None = Field(description="beginning of the last turn; null without turns")


class ListBody(ResponseModel):
    """A page of conversations, newest first."""

    conversations: list[ListedBody]
    next: str | None = Field(description="cursor for `before`, to get the next page; null on the last page")


class AnswerBody(ResponseModel):
    """The result of a request for a reply."""

    turn: TurnBody | None = Field(description="the model's turn; null if the reply is empty")
    reply: ReplyBody
    version: int
    waiting: bool = Field(description="whether the last turn waits for a reply")


class SaidBody(AnswerBody):
    """The stored user turn and the reply to it."""

    said: TurnBody


class UndoneBody(ResponseModel):
    """The removed turns and the remaining conversation."""

    taken: list[TurnBody]
    conversation: ConversationBody


class StoppedBody(ResponseModel):
    """Confirmation that the reply in progress is being stopped."""

    stopped: bool = True


def iso_time(microseconds: int) -> str:
    """Format a time, in microseconds since 1970, as ISO 8601 in UTC with microseconds."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def turn_json(turn: Turn) -> dict[str, Any]:
    """Convert a turn to the JSON of a `TurnBody`."""
    reply = turn.reply and {name: value for name, value in turn.reply.items() if name in ReplyBody.model_fields}
    return {**vars(turn), "created": iso_time(turn.created), "reply": reply}


def conversation_json(conversation: ConversationRecord) -> dict[str, Any]:
    """Convert a conversation to the JSON of a `ConversationBody`."""
    turns = [turn_json(turn) for turn in conversation.turns]
    return {**_about(conversation), "waiting": conversation.waiting, "turns": turns}


def summary_json(summary: ConversationSummary) -> dict[str, Any]:
    """Convert a conversation in a list to the JSON of a `ListedBody`."""
    last = summary.last
    return {
        **_about(summary),
        "waiting": last is not None and last.speaker == "user",
        "turn_count": summary.turn_count,
        "last": None if last is None else last.text[:PREVIEW_CHARS],
    }


def _about(stored: ConversationHeader) -> dict[str, Any]:
    times = {"created": iso_time(stored.created), "updated": iso_time(stored.updated)}
    return {"id": stored.id, **times, "version": stored.version, **vars(stored.about)}
