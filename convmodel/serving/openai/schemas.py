"""Request and response bodies of OpenAI's chat completions and models."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict, JsonValue

from convmodel.data.messages import ROLES
from convmodel.serving.ignored_fields import IGNORED, Ignorable, LenientModel
from convmodel.serving.openai.unsupported import Nothing, UnsupportedFields, text_only
from convmodel.serving.schemas import MAX_SEED, Options, ResponseModel, Text, UserId, example


def _check_role(role: str) -> str:
    if role.strip().lower() not in ROLES:
        raise ValueError(f"there is no role {role[:40]!r}; give system, user or assistant")
    return role


PartType = Literal["text", "input_text", "output_text"]


class TextPart(LenientModel):
    """A text part of a message."""

    type: PartType
    text: str


OTHER_PARTS = text_only("parts are not supported; send text parts", *get_args(PartType))
Content = Annotated[str | list[TextPart], OTHER_PARTS]

SPOKEN_PART: JsonDict = {
    "properties": {"type": {"enum": [*get_args(PartType)]}, "text": {"type": "string", "pattern": r"\S"}},
    "required": ["type", "text"],
}
SPOKEN: JsonDict = {
    "anyOf": [
        {"type": "string", "pattern": r"\S"},
        {"type": "array", "contains": SPOKEN_PART},
    ]
}
"""JSON schema of a message content that has at least one character other than white space."""

SPOKEN_BY_USER: JsonDict = {
    "properties": {"content": SPOKEN, "tool_calls": {"type": "null"}, "function_call": {"type": "null"}},
    "required": ["content"],
}

USERS: list[JsonValue] = [role for role, kind in ROLES.items() if kind == "user"]


class Message(LenientModel):
    """A turn of the conversation; with the role system or developer, sentences of the persona."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"role": {"enum": USERS}}},
            "then": SPOKEN_BY_USER,
        }
    )

    role: Annotated[str, AfterValidator(_check_role), Field(json_schema_extra={"enum": [*ROLES]})]
    content: Content | None = Field(None, description="must have text for the user; ignored for tools")
    tool_calls: Annotated[list[Any] | None, Field(description="ignored")] = None
    function_call: Annotated[dict[str, Any] | None, Field(description="ignored")] = None
    name: str | None = Field(
        None, description="name of the speaker, in a conversation of several people; otherwise it has no effect"
    )
    refusal: Ignorable[None] = None
    audio: Ignorable[None] = None
    annotations: Ignorable[Nothing] = None

    @property
    def kind(self) -> str:
        """The role after replacement of synonyms: user, assistant, system or tool."""
        return ROLES[self.role.strip().lower()]

    @property
    def text(self) -> str:
        """The text of the content; the texts of several parts are joined with newlines."""
        return "\n".join(part.text for part in self.content) if isinstance(self.content, list) else self.content or ""

    def fields(self) -> dict[str, Any]:
        """Return the message as a dict of the fields that `convmodel.data.messages.split_messages` reads."""
        parts = self.content
        content = [part.model_dump() for part in parts] if isinstance(parts, list) else parts
        calls = {"tool_calls": self.tool_calls, "function_call": self.function_call}
        return {"role": self.role, "content": content, "name": self.name, **calls}


class StreamOptions(LenientModel):
    """Options of a stream."""

    include_usage: bool | None = Field(None, description="whether to send a last chunk with the usage and no choices")


def _check_limit(tokens: int) -> int:
    if tokens == 0:
        raise ValueError("give 1 or more, or -1 for no limit of your own")
    return tokens


ClientStop = Annotated[str, StringConstraints(max_length=200)]
"""A text at which a reply ends; an empty text has no effect."""

TokenLimit = Annotated[int, Field(ge=-1, json_schema_extra={"not": {"const": 0}}), AfterValidator(_check_limit)]
"""A maximum number of tokens; -1 means no limit."""


class DecodingFields(LenientModel):
    """Common fields of chat completions and completions: decoding, the number of choices, and the stream."""

    temperature: float | None = Field(None, ge=0, le=2, description="values below 0.01 mean greedy decoding")
    top_p: float | None = Field(None, ge=0, le=1, description="0 takes the most likely token")
    top_k: int | None = Field(None, ge=-1, le=1_000_000, description="0 and -1 are off")
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=0.1, le=10, description="1 is off")
    n: Annotated[int, Field(ge=1)] | None = Field(
        None, description="number of replies, with the seeds seed, seed + 1, ..."
    )
    stop: ClientStop | Annotated[list[ClientStop], Field(max_length=16)] | None = Field(
        None, description="empty strings have no effect"
    )
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED)] | None = Field(None, description="-1 draws a seed")
    max_tokens: TokenLimit | None = Field(None, description="values above the limit in /about are lowered to the limit")
    max_completion_tokens: TokenLimit | None = Field(
        None, description="newer name of max_tokens; if both are given, the lower value applies"
    )
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    user: UserId | None = Field(None, description="id of the end user, not verified; limits open replies per user")
    stream: bool | None = None
    stream_options: StreamOptions | None = Field(None, description="has no effect without stream")
    preset: str | None = Field(None, description="extension: name of a preset (a set of options), see /about")
    options: Options | None = Field(
        None, description="extension: any decoding option; OpenAI's own fields take precedence"
    )

    @model_validator(mode="after")
    def _ignore_stream_options(self) -> "DecodingFields":
        if self.stream_options is not None and not self.stream:
            self.stream_options = IGNORED
        return self


class ChatRequest(UnsupportedFields, DecodingFields):
    """A request for a chat completion.

    `persona`, `speaker`, `preset` and `options` are extensions; OpenAI's client sends them as `extra_body`.
    """

    model_config = example(
        model="model",
        messages=[
            {"role": "system", "content": "i have two cats ."},
            {"role": "user", "content": "Do you have any pets?"},
        ],
        seed=1,
    )

    model: str = Field(description="name of a model in /v1/models")
    messages: Annotated[list[Message], Field(min_length=1)] = Field(
        description="each line of a system or developer message, at any position, is a sentence of the persona; the "
        "other messages are the turns, and the reply follows the last of them. Consecutive messages of one role are "
        "joined with a newline. Empty messages of the assistant, tool calls and their results are ignored.",
        json_schema_extra={"contains": {"required": ["role"], "properties": {"role": {"enum": USERS}}}},
    )
    persona: list[Text] | None = Field(
        None, description="extension: sentences of the persona, placed before those of system messages"
    )
    speaker: Text | None = Field(
        None,
        description="extension: name of the replying assistant; by default the name in the assistant's last message",
    )


class TokensDetails(ResponseModel):
    """Details of the tokens of the prompt."""

    cached_tokens: int = Field(description="tokens that were read from the cache")


class Usage(ResponseModel):
    """Token counts of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokensDetails


class ChoiceMessage(ResponseModel):
    """The text of a reply."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ReasonedMessage(ChoiceMessage):
    """The text of a reply, and the model's reasoning before the text."""

    reasoning_content: str = Field(
        description="extension that other servers have too: the model's reasoning before the text"
    )


FinishReason = Literal["stop", "length", "content_filter"]


class Extras(ResponseModel):
    """Extension: further data about a reply."""

    seed: int | None = Field(description="reproduces the reply with the same request")
    window: int
    turns_dropped: int
    tokens_dropped: int
    candidates: int = Field(description="number of candidates")
    blocked: bool


class Choice(ResponseModel):
    """A generated reply."""

    index: int
    message: ChoiceMessage | ReasonedMessage
    logprobs: None = None
    finish_reason: FinishReason
    convmodel: Extras


class Completion(ResponseModel):
    """The response body with the generated replies."""

    id: str = Field(examples=["chatcmpl-5f1c0a1d"])
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class ModelBody(ResponseModel):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["convmodel"] = "convmodel"
    root: str = Field(description="the same as id")
    parent: str | None = Field(description="base model of an adapter; null for the server's own model")
    context_length: int | None = Field(None, description="maximum number of tokens of input and reply together")
    max_model_len: int | None = Field(None, description="the same as context_length")


class ModelsBody(ResponseModel):
    """The list of models."""

    object: Literal["list"] = "list"
    data: list[ModelBody]
